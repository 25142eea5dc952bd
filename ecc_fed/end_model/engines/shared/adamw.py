"""AdamW over many adapters at once, each with a step count, a rate and moments of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ecc_fed.end_model.engines.shared.compute_plan import plan_for
from ecc_fed.end_model.engines.shared.training_bank import ShopJob, TrainingBank
from ecc_fed.end_model.engines.shared.uploads import upload
from ecc_fed.end_model.training.jobs import learning_rate


def update(bank: TrainingBank, gradients: Tensor, jobs: Sequence[ShopJob], step: int) -> None:
    """Takes each shop's AdamW step `start + step`; rows behind `jobs` stay as they are.

    AdamW (Loshchilov & Hutter 2019, Alg. 2) in torch's arithmetic, with a step count for each row.
    """
    rows = len(jobs)
    flat, first, second, gradient = bank.flat[:rows], bank.first[:rows], bank.second[:rows], gradients[:rows]

    def column(values: list[float]) -> Tensor:
        return upload(torch.tensor(values, dtype=torch.float64).to(flat.dtype).numpy(), flat.device)[:, None]

    settings = [job.settings for job in jobs]
    taken = [job.start + step for job in jobs]
    rates = [learning_rate(own.job, t) for own, t in zip(jobs, taken, strict=True)]
    beta1, beta2 = column([one.betas[0] for one in settings]), column([one.betas[1] for one in settings])
    kept = 1 - column([rate * one.weight_decay for rate, one in zip(rates, settings, strict=True)])
    # Moments may have begun later than the steps.
    ages = [t - job.since + 1 for job, t in zip(jobs, taken, strict=True)]
    correction1 = [1 - one.betas[0] ** age for one, age in zip(settings, ages, strict=True)]
    correction2 = column([(1 - one.betas[1] ** age) ** 0.5 for one, age in zip(settings, ages, strict=True)])
    epsilon = column([one.epsilon for one in settings])
    rate = column([rate / c for rate, c in zip(rates, correction1, strict=True)])
    at_once = plan_for(flat.device).update_slice
    width = max(1, at_once // rows)
    scratch = torch.empty_like(flat[:, :width])
    for start in range(0, flat.shape[1], width):
        w, g, m, v = (part[:, start : start + width] for part in (flat, gradient, first, second))
        work = scratch[:, : w.shape[1]]
        w *= kept if bank.trained is None else torch.where(bank.trained[:rows, start : start + width] > 0, kept, 1)
        m.lerp_(g, (1 - beta1).expand_as(m))
        v.mul_(beta2).addcmul_(torch.mul(g, 1 - beta2, out=work), g)
        torch.sqrt(v, out=work).div_(correction2).add_(epsilon)
        w -= torch.div(m, work, out=work).mul_(rate)
