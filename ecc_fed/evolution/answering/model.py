"""The end model alone answers."""

from __future__ import annotations

from collections.abc import Sequence

from ecc_fed.core.records import Asked, OwnExample, Turn


class ModelAlone:
    """An `Answering` that gives the end model the dialogue and nothing else."""

    def prepare(self, asked: Sequence[Asked], known: Sequence[OwnExample]) -> list[tuple[Turn, ...] | str]:
        """The prompts as they are."""
        return [each.prompt for each in asked]
