"""Training with a budget: which records a shop's noisy steps draw from, with how much noise, and what is left."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from ecc_fed.core.errors import ConfigError, UserError
from ecc_fed.core.records import FineTuneSettings, OwnExample
from ecc_fed.core.seeding import derive_seed
from ecc_fed.end_model.training.record_privacy import RecordPrivacy, sampling_rate
from ecc_fed.evolution.experience import Experience, as_example
from ecc_fed.privacy.accounting import NoisySteps, epsilon, noise_multiplier
from ecc_fed.privacy.record_level import PrivacySettings


@dataclass(frozen=True, slots=True)
class PrivateTraining:
    """The budget of one shop for a run of so many noisy steps in all, warm start included."""

    target: float
    settings: PrivacySettings
    planned_steps: int

    def next_steps(self, spent: Sequence[NoisySteps], num_records: int, tuning: FineTuneSettings) -> NoisySteps | None:
        """The steps of the next training, with the noise that spreads what is left over all that are still to come.

        None where the run has taken all its steps: nothing is left of the budget.

        Raises:
            ConfigError: no noise is enough, or delta is too large for so many records.
        """
        left = self.planned_steps - sum(part.steps for part in spent)
        steps = min(tuning.steps, left)
        if steps <= 0:
            return None
        self.check_delta(num_records)
        rate = sampling_rate(num_records, tuning.batch_size)
        sigma = noise_multiplier(spent, rate, left, self.target, self.settings.delta)
        if sigma is None:
            raise ConfigError(
                f"privacy.epsilon={self.target:g} cannot be kept over {left} steps that each draw {rate:.0%} of "
                f"{num_records} records, however much noise there is. Take a larger epsilon, fewer steps "
                "(finetune.steps, evolution.server_rounds) or a smaller finetune.batch_size."
            )
        return NoisySteps(sigma, rate, steps)

    def rule(self, steps: NoisySteps) -> RecordPrivacy:
        """The gradient rule of these steps."""
        return RecordPrivacy(self.settings.clipping_norm, steps.noise_multiplier)

    def seed(self, seed: int) -> int:
        """The seed of a training's noise and sampling."""
        return derive_seed(seed, "fine_tune") if self.settings.seeded_noise else secrets.randbits(63)

    def epsilon(self, spent: Sequence[NoisySteps]) -> float:
        """What these steps have cost."""
        return epsilon(spent, self.settings.delta)

    def refuse_lesson(self, shop_id: str) -> NoReturn:
        """A chat's lesson has no noise.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"The mark is kept and nothing is learned of it: {shop_id} has trained under privacy.epsilon="
            f"{self.target:g}, and a lesson without noise would tell its record to whoever sees the adapter."
        )

    def check_delta(self, num_records: int) -> None:
        """Refuses a delta above 1 / (10 n).

        Raises:
            ConfigError: says which would do.
        """
        if num_records > self.settings.most_records:
            enough = 10.0 ** -math.ceil(math.log10(10 * num_records))
            raise ConfigError(
                f"privacy.delta={self.settings.delta:g} is too large for a shop of {num_records} records: in more "
                f"than one shop of ten a record might lose all protection. Take privacy.delta={enough:g}."
            )


def records(experience: Experience) -> tuple[OwnExample, ...]:
    """Every pair once: by its human agent's reply where there is one, else by its pseudo-label.

    `evolution.pseudo_share` has no say: a record that was drawn twice as often would be protected half as well.
    """
    natural = {pair.pair_id for pair in experience.natural}
    labels = [as_example(label) for label in experience.pseudo_labels if label.pair_id not in natural]
    return (*map(as_example, experience.natural), *labels)
