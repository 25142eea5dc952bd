"""What a shop may answer from beside its model: the examples of its own."""

from __future__ import annotations

from dataclasses import dataclass

from ecc_fed.core.records.dialogues import Turn


@dataclass(frozen=True, slots=True)
class OwnExample:
    """A query, with its context, and the answer that the shop knows to it: an agent's, or the cloud's."""

    pair_id: str
    prompt: tuple[Turn, ...]
    reply: str

    @property
    def query(self) -> str:
        """What the customer asked last."""
        return self.prompt[-1].text


@dataclass(frozen=True, slots=True)
class FromCloud:
    """In the place of an answer: the cloud is asked for it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt that wants an answer; it must not come from examples of the pair `leave_out`: the very same pair."""

    prompt: tuple[Turn, ...]
    leave_out: str | None = None

    @property
    def query(self) -> str:
        """What the customer asked last."""
        return self.prompt[-1].text
