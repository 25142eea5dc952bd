"""What training moves: shops' jobs, and the bank of their adapters and moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ecc_fed.core.records import Array, FineTuneJob, FineTuneSettings
from ecc_fed.end_model.engines.shared.bank import AdapterLayout
from ecc_fed.end_model.training.examples import EncodedExample


@dataclass(slots=True)
class ShopJob:
    """One shop's part in a batch.

    `start` is its optimizer's step so far, `rank` its adapter's rank, and `frozen` holds both moments
    of the tensors that it does not train, kept aside. Its moments began at step `since`.
    """

    job: FineTuneJob
    examples: Sequence[EncodedExample]
    start: int
    rank: int
    frozen: Mapping[str, tuple[Array, Array]] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    label_tokens: int = 0
    since: int = 0

    @property
    def settings(self) -> FineTuneSettings:
        """The job's settings."""
        return self.job.settings


@dataclass(frozen=True, slots=True)
class ProximalPull:
    """Where FedProx pulls rows of a bank: mu and the anchor of every number, both (shops, size); 0 without a pull."""

    mu: Tensor
    anchor: Tensor


@dataclass(frozen=True, slots=True)
class Correction:
    """What is added to the rows' gradients, and the sum of these before it, both (shops, size)."""

    added: Tensor
    total: Tensor


@dataclass(slots=True)
class TrainingBank:
    """Adapters and Adam's moments, a row for each shop (shops, size); `scale` (shops,) is lora_alpha / rank.

    `trained` (shops, size) is 1 where a number may move and 0 where it may not; None: all may. A number that
    may not has zero moments here, and so no step. `pull` and
    `correction` are None where no job has one.
    """

    layout: AdapterLayout
    flat: Tensor
    first: Tensor
    second: Tensor
    scale: Tensor
    trained: Tensor | None = None
    pull: ProximalPull | None = None
    correction: Correction | None = None
