"""What training moves: shops' jobs, and the bank of their adapters and moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ecc_fed.core.records import FineTuneJob, FineTuneSettings
from ecc_fed.end_model.engines.shared.bank import AdapterLayout
from ecc_fed.end_model.training.examples import EncodedExample


@dataclass(slots=True)
class ShopJob:
    """One shop's part in a batch; `start` is its optimizer's step so far, `rank` its adapter's rank."""

    job: FineTuneJob
    examples: Sequence[EncodedExample]
    start: int
    rank: int
    losses: list[float] = field(default_factory=list)
    label_tokens: int = 0

    @property
    def settings(self) -> FineTuneSettings:
        """The job's settings."""
        return self.job.settings


@dataclass(slots=True)
class TrainingBank:
    """Adapters and Adam's moments, a row for each shop (shops, size); `scale` (shops,) is lora_alpha / rank."""

    layout: AdapterLayout
    flat: Tensor
    first: Tensor
    second: Tensor
    scale: Tensor
