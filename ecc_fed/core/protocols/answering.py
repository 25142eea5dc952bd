"""How a shop answers: by its model alone, from its own examples, or by both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ecc_fed.core.records import Asked, FromCloud, OwnExample, Turn


class Answering(Protocol):
    """Turns what customers ask into what the end model reads, or into the answers themselves.

    One whose prompts or answers hold the shop's own examples has a `shows_examples` that is True, besides.
    One that leaves the end model out has an `asks_model` that is False, besides.
    """

    def prepare(
        self, asked: Sequence[Asked], known: Sequence[OwnExample]
    ) -> Sequence[tuple[Turn, ...] | str | FromCloud]:
        """For each prompt the turns that the end model reads in its place, the reply itself, as a text, or `FromCloud`.

        The same where a shop serves, where its replies' likelihood is measured, and where it trains: what is
        prepared for no model is then left out. The examples are the shop's own so far; those that come later win
        over equals. They may be none.
        """
        ...
