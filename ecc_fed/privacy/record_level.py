"""What a run declares of its privacy: record-level differential privacy of a shop's training, masks, texts kept."""

from __future__ import annotations

from dataclasses import dataclass

from ecc_fed.core.ranges import require


@dataclass(frozen=True)
class PrivacySettings:
    """How much any one record may tell of itself through the shop's adapter, over the whole run.

    A record is one question and its answer. Nothing is said of what the cloud is sent, nor of other records in which
    the same customer speaks.

    Raises:
        ConfigError: a value out of range.
    """

    # null: training is plain. Else noise is chosen so that all steps of all rounds stay within it.
    epsilon: float | None = None
    # The chance that it fails to hold; a shop with more than 1 / (10 delta) records is refused.
    delta: float = 1e-4
    # The gradient of one record is shortened to it.
    clipping_norm: float = 1.0
    # true: noise and sampling come of the run's seed, and runs repeat: for a simulation alone, since whoever knows the
    # seed takes the noise away. false: of the system's entropy.
    seeded_noise: bool = True
    # true: whatever is trained on has `[电话x]` and the like in the places of values that the redaction finds.
    mask_training: bool = False
    # true: the run's folder keeps what left for the teacher, word for word, as the redaction let it through.
    keep_text: bool = False

    def __post_init__(self) -> None:
        require(self.epsilon is None or self.epsilon > 0, "privacy.epsilon", self.epsilon, "above 0, or null")
        require(0 < self.delta < 1, "privacy.delta", self.delta, "between 0 and 1")
        require(self.clipping_norm > 0, "privacy.clipping_norm", self.clipping_norm, "above 0")

    @property
    def most_records(self) -> int:
        """The largest number n of records with delta <= 1 / (10 n)."""
        return int(1 / (10 * self.delta) * (1 + 1e-12))
