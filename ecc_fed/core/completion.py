"""A prompt and its completion: what one call to a cloud model sends, and what comes of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ecc_fed.core.records import Outcome, Role, Turn, short_digest

Language = Literal["zh", "en"]


@dataclass(frozen=True, slots=True)
class Speakers:
    """What stands in a prompt before the words of either side, such as "Customer: "."""

    customer: str
    agent: str

    def of(self, role: Role) -> str:
        """Who says a turn."""
        return self.customer if role == "customer" else self.agent


def estimate_tokens(text: str) -> int:
    """Tokens by rule of thumb: one for every character beyond ASCII, one for every four ASCII characters begun."""
    ascii_characters = sum(character.isascii() for character in text)
    return len(text) - ascii_characters + -(-ascii_characters // 4)


@dataclass(frozen=True)
class FewShotPart:
    """The fixed part of a shop's prompts: `head` + `examples_text` + `tail`; `speakers` go on in the dialogue."""

    language: Language
    examples: tuple[tuple[str, str], ...]
    head: str
    examples_text: str
    tail: str
    speakers: Speakers

    @cached_property
    def text(self) -> str:
        """The whole fixed part, as sent."""
        return self.head + self.examples_text + self.tail

    @property
    def instruction(self) -> str:
        """Our own words."""
        return self.head + self.tail

    @cached_property
    def instruction_bytes(self) -> int:
        """UTF-8 bytes of our own words."""
        return len(self.instruction.encode())

    @cached_property
    def instruction_digest(self) -> str:
        """`short_digest` of our own words."""
        return short_digest(self.instruction.encode())

    @cached_property
    def examples_bytes(self) -> int:
        """UTF-8 bytes of the shop's dialogues."""
        return len(self.examples_text.encode())

    @cached_property
    def examples_digest(self) -> str:
        """`short_digest` of the shop's dialogues."""
        return short_digest(self.examples_text.encode())

    @cached_property
    def tokens(self) -> int:
        """Estimated tokens (`estimate_tokens`)."""
        return estimate_tokens(self.text)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the fixed part, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class TeacherPrompt:
    """What one call sends: the fixed part, then the dialogue with the customer who is waiting.

    `dialogue` is `turns` as text, ending in the agent's name for the model to go on from.
    """

    few_shot: FewShotPart
    turns: tuple[Turn, ...]
    dialogue: str

    @property
    def text(self) -> str:
        """The rendered prompt. Chat interfaces send `few_shot.text` as system text, `dialogue` as message."""
        return self.few_shot.text + self.dialogue

    @cached_property
    def query_bytes(self) -> int:
        """UTF-8 bytes of the dialogue."""
        return len(self.dialogue.encode())

    @cached_property
    def query_digest(self) -> str:
        """`short_digest` of the dialogue."""
        return short_digest(self.dialogue.encode())

    @property
    def num_bytes(self) -> int:
        """UTF-8 bytes of the rendered prompt."""
        return self.few_shot.instruction_bytes + self.few_shot.examples_bytes + self.query_bytes

    @property
    def tokens(self) -> int:
        """Estimated tokens of the rendered prompt."""
        return self.few_shot.tokens + estimate_tokens(self.dialogue)

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hex that stands for the rendered prompt (its fixed part is hashed once per shop)."""
        return hashlib.sha256(f"{self.few_shot.digest}\n{self.dialogue}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Completion:
    """What came of one attempt at one prompt; `text` is None whenever `outcome` is not "ok".

    `retry_after_seconds` is the server's own wish before another attempt. `latency_seconds` is
    declared by simulated models; None lets the gateway measure. Token counts are the provider's.
    `cost_usd` is stated where the provider discounts a part of the prompt (its own prompt cache);
    None prices all tokens at the teacher's rates. `usage_known`: whether tokens and cost are all that may be
    billed; None leaves it to the outcome (`gateway.booking`). `usage_note` says why they are not the provider's,
    `cut` what the answer held beside the reply: thoughts, further turns. `wire_up_bytes` and `wire_down_bytes` are
    the bodies of request and answer, as far as they are known.
    """

    text: str | None
    outcome: Outcome
    model_version: str
    input_tokens: int = 0
    output_tokens: int = 0
    latency_seconds: float | None = None
    retry_after_seconds: float | None = None
    detail: str = ""
    cost_usd: float | None = None
    usage_known: bool | None = None
    usage_note: str = ""
    cut: str = ""
    wire_up_bytes: int | None = None
    wire_down_bytes: int | None = None
