"""Fine-tuning many adapters at once: one packed pass over the frozen base a step.

Every shop keeps its own batches, dropout stream, schedule, clipping and number of steps. Loss is
the mean over a shop's own label tokens, summed over shops, so each row of the gradient is that of
the shop alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ecc_fed.core.gradient_rule import GradientRule
from ecc_fed.core.records import FineTuneJob, FineTuneSettings
from ecc_fed.end_model.engines.shared.bank import AdapterLayout
from ecc_fed.end_model.engines.shared.dropout import Dropout
from ecc_fed.end_model.engines.shared.forward import forward_packed, pack
from ecc_fed.end_model.engines.shared.layers import ActiveAdapters, label_loss
from ecc_fed.end_model.engines.shared.packed_base import PackedBase
from ecc_fed.end_model.training.finetune import EncodedExample, learning_rate
from ecc_fed.end_model.training.gradients import JobGradients

# Logits held at once, in numbers.
LOGITS = 1 << 24
# An update walks the rows in slices of so many numbers, which a core's cache holds; a GPU takes them whole.
UPDATE_SLICE = 1 << 18


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
    """Adapters and Adam's moments, one shop a row (shops, size); `scale` (shops,) is lora_alpha / rank."""

    layout: AdapterLayout
    flat: Tensor
    first: Tensor
    second: Tensor
    scale: Tensor


def train_batch(
    base: PackedBase, bank: TrainingBank, jobs: Sequence[ShopJob], lora_dropout: float, batch_tokens: int
) -> None:
    """Runs all jobs, in place. Jobs must be ordered by falling number of steps.

    A shop that is done leaves the active prefix of rows: Adam would move it even on zero gradients.
    `batch_tokens` bounds the rows of one pass; a step takes as many passes as it needs.
    """
    assert all(a.settings.steps >= b.settings.steps for a, b in itertools.pairwise(jobs))
    rules = [JobGradients(job.job, bank.layout.shapes(job.rank)) for job in jobs]
    gradients = torch.zeros_like(bank.flat)
    dropout = Dropout(lora_dropout, [job.job.seed for job in jobs], base.device) if lora_dropout > 0 else None
    for step in range(max((job.settings.steps for job in jobs), default=0)):
        active = sum(job.settings.steps > step for job in jobs)
        batches = [rules[shop].next_batch(jobs[shop].examples) for shop in range(active)]
        for shops in _passes(batches, batch_tokens):
            _accumulate(base, bank, jobs, rules, batches, shops, gradients, dropout)
        for shop in range(active):
            _finish(bank.layout, rules[shop], gradients[shop])
        update(bank, gradients, jobs[:active], step)


def _accumulate(
    base: PackedBase,
    bank: TrainingBank,
    jobs: Sequence[ShopJob],
    rules: Sequence[JobGradients],
    batches: Sequence[Sequence[EncodedExample]],
    shops: range,
    gradients: Tensor,
    dropout: Dropout | None,
) -> None:
    """One pass: each shop's sum over its groups, by its rule, in its gradient row; and its loss."""
    groups = [rules[shop].groups(batches[shop]) for shop in shops]
    counts = [len(own) for own in groups]
    rows = [shop for shop, own in zip(shops, groups, strict=True) for _ in own]
    # With one group for every shop, the shops' own rows take the gradients.
    in_place = rows == list(shops)
    part = gradients[shops.start : shops.stop] if in_place else gradients.new_empty(len(rows), gradients.shape[1])
    losses: list[float] = []
    if rows:
        adapters = ActiveAdapters(bank.layout, bank.flat, bank.scale, part, dropout)
        if dropout is not None:
            dropout.select(rows)
        losses = backward(base, adapters, [group for own in groups for group in own], rows)
    factors = _factors([rules[row].rule for row in rows], torch.linalg.vector_norm(part, dim=1))
    if in_place:
        part *= factors[:, None]
    else:
        for shop, own, weights in zip(
            shops, part.split_with_sizes(counts), factors.split_with_sizes(counts), strict=True
        ):
            gradients[shop] = weights @ own
    for shop, own_losses in zip(shops, _split(losses, counts), strict=True):
        jobs[shop].losses.append(sum(own_losses) / rules[shop].divisor)
        jobs[shop].label_tokens += sum(example.label_tokens for example in batches[shop])


def _factors(rules: Sequence[GradientRule], norms: Tensor) -> Tensor:
    """What each gradient counts for (groups,); neighbours under the same rule are asked about together."""
    counts = [len(list(same)) for _, same in itertools.groupby(rules)]
    firsts = [rule for rule, _ in itertools.groupby(rules)]
    parts = [rule.factors(part) for rule, part in zip(firsts, norms.split_with_sizes(counts), strict=True)]
    return torch.cat(parts) if parts else norms


def _split(losses: Sequence[float], counts: Sequence[int]) -> Iterator[Sequence[float]]:
    start = 0
    for count in counts:
        yield losses[start : start + count]
        start += count


def _passes(batches: Sequence[Sequence[EncodedExample]], batch_tokens: int) -> Iterator[range]:
    """Successive shops whose batches fit into one pass, or one shop that alone exceeds it."""
    first, tokens = 0, 0
    for shop, batch in enumerate(batches):
        size = sum(len(example.ids) for example in batch)
        if shop > first and tokens + size > batch_tokens:
            yield range(first, shop)
            first, tokens = shop, 0
        tokens += size
    yield range(first, len(batches))


def _finish(layout: AdapterLayout, rule: JobGradients, gradient: Tensor) -> None:
    """Adds the step's noise to a row, and divides it as its rule says."""
    noise = rule.noise()
    if noise is not None:
        row = np.zeros(layout.size, np.float32)
        layout.write(row, noise)
        gradient += torch.from_numpy(row).to(gradient.device, gradient.dtype)
    if rule.divisor != 1:
        gradient /= rule.divisor


def backward(
    base: PackedBase,
    adapters: ActiveAdapters,
    batches: Sequence[Sequence[EncodedExample]],
    rows: Sequence[int],
) -> list[float]:
    """Writes group g's gradient of its mean loss into gradient row g; returns the losses.

    Group g's batch meets bank row `rows[g]`. One group a shop gives shops' gradients; one group an
    example, with the shops' rows repeated, gives per-example gradients.
    """
    examples = [example for batch in batches for example in batch]
    # The output at position i predicts token i + 1.
    wanted = [range(example.prompt_length - 1, len(example.ids) - 1) for example in examples]
    sizes = [len(batch) for batch in batches]
    packed = pack([example.ids for example in examples], wanted, sizes, rows, base.device)
    targets = torch.tensor(
        [token for example in examples for token in example.ids[example.prompt_length :]], device=base.device
    )
    counts = torch.tensor(packed.wanted_groups.sizes, device=base.device)
    weights = counts.to(base.dtype).reciprocal().repeat_interleave(counts, output_size=len(targets))
    hidden = forward_packed(base, packed, adapters, training=True)
    slice_rows = max(1, LOGITS // base.embedding.shape[0])
    total, losses = label_loss(hidden, base.head, targets, weights, slice_rows)
    torch.autograd.backward(total)
    parts = torch.split(losses * weights, packed.wanted_groups.sizes)
    return [float(loss) for loss in torch.stack([part.sum() for part in parts]).tolist()]


def update(bank: TrainingBank, gradients: Tensor, jobs: Sequence[ShopJob], step: int) -> None:
    """Takes each shop's AdamW step `start + step`; rows behind `jobs` stay as they are.

    AdamW (Loshchilov & Hutter 2019, Alg. 2) in torch's arithmetic, with a step count a row.
    """
    rows = len(jobs)
    flat, first, second, gradient = bank.flat[:rows], bank.first[:rows], bank.second[:rows], gradients[:rows]

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64).to(flat.device, flat.dtype)[:, None]

    settings = [job.settings for job in jobs]
    taken = [job.start + step for job in jobs]
    rates = [learning_rate(one, t) for one, t in zip(settings, taken, strict=True)]
    beta1, beta2 = column([one.betas[0] for one in settings]), column([one.betas[1] for one in settings])
    kept = 1 - column([rate * one.weight_decay for rate, one in zip(rates, settings, strict=True)])
    correction1 = [1 - one.betas[0] ** (t + 1) for one, t in zip(settings, taken, strict=True)]
    correction2 = column([(1 - one.betas[1] ** (t + 1)) ** 0.5 for one, t in zip(settings, taken, strict=True)])
    epsilon = column([one.epsilon for one in settings])
    rate = column([rate / c for rate, c in zip(rates, correction1, strict=True)])
    width = max(1, UPDATE_SLICE // rows) if flat.device.type == "cpu" else flat.shape[1]
    scratch = torch.empty_like(flat[:, :width])
    for start in range(0, flat.shape[1], width):
        w, g, m, v = (part[:, start : start + width] for part in (flat, gradient, first, second))
        work = scratch[:, : w.shape[1]]
        w *= kept
        m.lerp_(g, (1 - beta1).expand_as(m))
        v.mul_(beta2).addcmul_(torch.mul(g, 1 - beta2, out=work), g)
        torch.sqrt(v, out=work).div_(correction2).add_(epsilon)
        w -= torch.div(m, work, out=work).mul_(rate)
