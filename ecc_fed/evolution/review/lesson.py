"""How a chat teaches a shop one label: the group `chat` of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ecc_fed.core.ranges import require
from ecc_fed.core.records import FineTuneSettings

# The run's own learning rate has decayed to nothing by its end; a lesson takes this share of where it began.
_SHARE_OF_RATE = 0.25


@dataclass(frozen=True, slots=True)
class Lesson:
    """How one label is learned; all else is as in the run's fine-tuning.

    The defaults were found for the embedded model: at the full rate, or with half of the examples
    labels, it learns a label as well but then gives it to other questions too.

    Raises:
        ConfigError: a value out of range.
    """

    steps: int = 12
    # Constant over the steps; null: a quarter of finetune.learning_rate.
    learning_rate: float | None = None
    # Of the examples, so many are labels of the chat (half of them the newest, half the earlier ones); the others are
    # rehearsal of the shop's experience, so that it forgets neither.
    label_share: float = 0.25

    def __post_init__(self) -> None:
        require(self.steps >= 1, "chat.steps", self.steps, "1 or more")
        require(
            self.learning_rate is None or 0 < self.learning_rate < 1,
            "chat.learning_rate",
            self.learning_rate,
            "between 0 and 1, or null for a quarter of finetune.learning_rate",
        )
        require(0 < self.label_share <= 1, "chat.label_share", self.label_share, "above 0, at most 1")

    def fine_tune(self, run: FineTuneSettings) -> FineTuneSettings:
        """The lesson's fine-tuning, from that of the run."""
        rate = run.learning_rate * _SHARE_OF_RATE if self.learning_rate is None else self.learning_rate
        return replace(run, steps=self.steps, learning_rate=rate, linear_decay=False)
