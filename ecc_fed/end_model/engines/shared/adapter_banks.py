"""Shops' adapters into a bank and out again: for requests that are served, and for jobs that are trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ecc_fed.core.frozen_part import frozen_part, frozen_rank, whole, with_frozen
from ecc_fed.core.records import AdapterState, FineTuneJob, FineTuneResult, OptimizerState
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.adapters.settings import with_alpha
from ecc_fed.end_model.adapters.tensors import check_adapter
from ecc_fed.end_model.engines.shared.active_adapters import ActiveAdapters
from ecc_fed.end_model.engines.shared.bank import AdapterLayout, adapter_rank, load_rows
from ecc_fed.end_model.engines.shared.packed_base import PackedBase
from ecc_fed.end_model.engines.shared.training_bank import Correction, ProximalPull, ShopJob, TrainingBank
from ecc_fed.end_model.training.examples import EncodedExample
from ecc_fed.end_model.training.jobs import Optimizer, anchors, corrections, read_optimizer, trained_names


class AdapterBanks:
    """Makes banks as wide as the highest rank among their adapters; every row is scaled by its own rank.

    A frozen part lies behind an adapter's own rows. Dropout falls on its input as on theirs.
    """

    def __init__(self, base: PackedBase, settings: Lora) -> None:
        self._base, self._settings = base, settings
        self._layouts: dict[int, AdapterLayout] = {}

    def layout(self, rank: int) -> AdapterLayout:
        """Where a row holds what, at this rank."""
        if rank not in self._layouts:
            self._layouts[rank] = AdapterLayout(self._base, rank, self._settings.target_modules)
        return self._layouts[rank]

    def scale(self, ranks: Sequence[int], alphas: Sequence[float | None]) -> Tensor:
        """What B A of every row is multiplied by (rows,), by its rank and its lora_alpha if it has one of its own."""
        each = [self._scale(rank, alpha) for rank, alpha in zip(ranks, alphas, strict=True)]
        scale = torch.tensor(each, dtype=torch.float64)
        return scale.to(self._base.device, self._base.dtype)

    def _scale(self, rank: int, lora_alpha: float | None) -> float:
        return with_alpha(self._settings, lora_alpha).scale_at(rank)

    def serve(
        self, states: Sequence[AdapterState | None], alphas: Sequence[float | None] = ()
    ) -> tuple[ActiveAdapters | None, list[int]]:
        """A bank of the distinct adapters, and every request's row in it; None if all want the bare base.

        `alphas` are the requests' lora_alpha, where they have their own; empty: none has.

        Raises:
            ModelError: an adapter that does not fit the base.
        """
        distinct: list[AdapterState | None] = []
        own: list[float | None] = []
        places: dict[tuple[int, float | None], int] = {}
        rows = []
        for state, alpha in zip(states, alphas or [None] * len(states), strict=True):
            key = id(state), alpha
            if key not in places:
                places[key] = len(distinct)
                distinct.append(state)
                own.append(alpha)
            rows.append(places[key])
        if all(state is None for state in distinct):
            return None, rows
        ranks = [self._rank(state or {}) for state in distinct]
        layout = self._layout_of(distinct, ranks)
        whole_rows = [
            None if state is None else self._whole(state, rank, layout, alpha)
            for state, rank, alpha in zip(distinct, ranks, own, strict=True)
        ]
        return ActiveAdapters(layout, load_rows(layout, whole_rows, self._base), self.scale(ranks, own)), rows

    def _rank(self, state: AdapterState) -> int:
        return adapter_rank(state, self._settings.rank)

    def _layout_of(self, states: Sequence[AdapterState | None], ranks: Sequence[int]) -> AdapterLayout:
        """Room for all of them, frozen parts included; padded to what the device's products take."""
        widest = max(rank + frozen_rank(state or {}) for state, rank in zip(states, ranks, strict=True))
        multiple = self._base.plan.rank_multiple
        return self.layout(-(-widest // multiple) * multiple)

    def _whole(
        self, state: AdapterState, rank: int, layout: AdapterLayout, lora_alpha: float | None = None
    ) -> AdapterState:
        """An adapter's row: its own tensors, and behind them its frozen part in its own scale."""
        check_adapter(state, with_frozen(layout.shapes(rank), frozen_rank(state)))
        return whole(state, self._scale(rank, lora_alpha))

    def train(
        self, jobs: Sequence[FineTuneJob], examples: Sequence[Sequence[EncodedExample]]
    ) -> tuple[list[ShopJob], TrainingBank]:
        """A bank of the jobs' adapters and moments, in the jobs' order.

        Raises:
            ModelError: an adapter that does not fit the base, or an optimizer state that does not
                fit its adapter.
        """
        ranks = [self._rank(job.adapter) for job in jobs]
        layout = self._layout_of([job.adapter for job in jobs], ranks)
        shop_jobs, adapters, first, second = [], [], [], []
        for job, rank, own in zip(jobs, ranks, examples, strict=True):
            shapes = layout.shapes(rank)
            adapters.append(self._whole(job.adapter, rank, layout, job.lora_alpha))
            before = read_optimizer(job.optimizer, shapes)
            m, v = before.first, before.second
            trained = trained_names(job, shapes)
            frozen = {name: (m[name], v[name]) for name in shapes if name not in trained}
            zeros = {name: np.zeros(shapes[name], np.float32) for name in frozen}
            first.append({**m, **zeros})
            second.append({**v, **zeros})
            shop_jobs.append(ShopJob(job, own, before.steps, rank, frozen, since=before.since))
        flat, m_rows, v_rows = (load_rows(layout, states, self._base) for states in (adapters, first, second))
        partly = any(job.frozen or frozen_rank(job.job.adapter) for job in shop_jobs)
        masks = self._masks(layout, shop_jobs) if partly else None
        pull, correction = self._pull(layout, shop_jobs), self._correction(layout, shop_jobs)
        scale = self.scale(ranks, [job.lora_alpha for job in jobs])
        return shop_jobs, TrainingBank(layout, flat, m_rows, v_rows, scale, masks, pull, correction)

    def _masks(self, layout: AdapterLayout, jobs: Sequence[ShopJob]) -> Tensor:
        """1 where a job may move a number, 0 elsewhere and in all frozen parts (shops, size)."""
        masks = []
        for job in jobs:
            shapes = layout.shapes(job.rank)
            masks.append({name: np.full(shape, name not in job.frozen, np.float32) for name, shape in shapes.items()})
        return load_rows(layout, masks, self._base)

    def _pull(self, layout: AdapterLayout, jobs: Sequence[ShopJob]) -> ProximalPull | None:
        shapes = [layout.shapes(job.rank) for job in jobs]
        found = [anchors(job.job, own) for job, own in zip(jobs, shapes, strict=True)]
        if not any(found):
            return None
        zeros = [{name: np.zeros(shape, np.float32) for name, shape in own.items()} for own in shapes]
        anchor = [{**none, **own} for none, own in zip(zeros, found, strict=True)]
        mu = [
            {**none, **{name: np.full_like(tensor, job.settings.prox_mu) for name, tensor in own.items()}}
            for job, none, own in zip(jobs, zeros, found, strict=True)
        ]
        return ProximalPull(load_rows(layout, mu, self._base), load_rows(layout, anchor, self._base))

    def _correction(self, layout: AdapterLayout, jobs: Sequence[ShopJob]) -> Correction | None:
        if all(job.job.correction is None for job in jobs):
            return None
        added = []
        for job in jobs:
            shapes = layout.shapes(job.rank)
            none = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
            added.append({**none, **corrections(job.job, shapes)})
        rows = load_rows(layout, added, self._base)
        return Correction(rows, torch.zeros_like(rows))


def read_results(bank: TrainingBank, jobs: Sequence[ShopJob]) -> list[FineTuneResult]:
    """What the bank's rows hold after training, job by job."""
    flat, first, second = (part.float().cpu().numpy() for part in (bank.flat, bank.first, bank.second))
    results = []
    for k, job in enumerate(jobs):
        adapter, m, v = (bank.layout.read(part[k], job.rank) for part in (flat, first, second))
        for name, moments in job.frozen.items():
            m[name], v[name] = moments
        optimizer: OptimizerState = {
            **Optimizer(job.start, job.since, {}, {}).after(job.settings.steps),
            **{f"m.{name}": array for name, array in m.items()},
            **{f"v.{name}": array for name, array in v.items()},
        }
        adapter |= frozen_part(job.job.adapter)
        gradient = _mean_gradient(bank, k, job)
        results.append(FineTuneResult(adapter, optimizer, tuple(job.losses), job.label_tokens, gradient))
    return results


def _mean_gradient(bank: TrainingBank, row: int, job: ShopJob) -> AdapterState | None:
    if bank.correction is None or job.job.correction is None:
        return None
    mean = bank.correction.total[row] / max(job.settings.steps, 1)
    found = bank.layout.read(mean.float().cpu().numpy(), job.rank)
    return {name: tensor for name, tensor in found.items() if name not in job.frozen}
