"""Fine-tuning many adapters at once: in every step one packed pass over the frozen base.

Every shop keeps its own batches, dropout stream, schedule, gradient rule and number of steps. Loss is
the mean over a group's own label tokens, summed over groups, so each row of the gradient is that of
its group alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ecc_fed.core.gradient_rule import GradientRule
from ecc_fed.core.heartbeat import beat
from ecc_fed.end_model.engines.shared.active_adapters import ActiveAdapters
from ecc_fed.end_model.engines.shared.adamw import update
from ecc_fed.end_model.engines.shared.dropout import CountedDropout, Dropout, StreamDropout
from ecc_fed.end_model.engines.shared.forward import forward_packed
from ecc_fed.end_model.engines.shared.label_loss import label_loss
from ecc_fed.end_model.engines.shared.packed_base import PackedBase
from ecc_fed.end_model.engines.shared.packing import pack_examples
from ecc_fed.end_model.engines.shared.training_bank import ShopJob, TrainingBank
from ecc_fed.end_model.training.examples import EncodedExample
from ecc_fed.end_model.training.gradients import JobGradients


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
    dropout = _dropout(base, lora_dropout, jobs)
    told: list[_Pass] = []
    for step in range(max((job.settings.steps for job in jobs), default=0)):
        active = sum(job.settings.steps > step for job in jobs)
        batches = [rules[shop].next_batch(jobs[shop].examples) for shop in range(active)]
        weights = bank.flat[:active].to(base.training_dtype)
        for shops in _passes(batches, batch_tokens):
            adapters = ActiveAdapters(bank.layout, weights, bank.scale, dropout=dropout)
            told.append(_accumulate(base, bank, adapters, rules, batches, shops, gradients, step))
        for shop in range(active):
            _finish(bank, rules[shop], shop, gradients[shop])
        if bank.correction is not None:
            bank.correction.total[:active] += gradients[:active]
            gradients[:active] += bank.correction.added[:active]
        if bank.pull is not None:
            way = bank.flat[:active] - bank.pull.anchor[:active]
            gradients[:active].addcmul_(bank.pull.mu[:active], way)
        update(bank, gradients, jobs[:active], step)
        beat()
    for each in told:
        each.tell(jobs, rules)


def _dropout(base: PackedBase, probability: float, jobs: Sequence[ShopJob]) -> Dropout | None:
    if probability == 0:
        return None
    seeds = [job.job.seed for job in jobs]
    if base.plan.counted_dropout:
        return CountedDropout(probability, seeds, base.device, base.plan.rows)
    return StreamDropout(probability, seeds, base.device)


@dataclass(frozen=True, slots=True)
class _Pass:
    """What a pass has to tell of its shops: losses stay on the device until all work is under way.

    `losses` (groups,) are shop after shop, each of which has `counts` of them.
    """

    shops: range
    counts: Sequence[int]
    losses: Tensor
    label_tokens: Sequence[int]

    def tell(self, jobs: Sequence[ShopJob], rules: Sequence[JobGradients]) -> None:
        """Writes losses and counts into the jobs."""
        own = _split(self.losses.tolist(), self.counts)
        for shop, losses, label_tokens in zip(self.shops, own, self.label_tokens, strict=True):
            jobs[shop].losses.append(sum(losses) / rules[shop].divisor)
            jobs[shop].label_tokens += label_tokens


def _accumulate(
    base: PackedBase,
    bank: TrainingBank,
    adapters: ActiveAdapters,
    rules: Sequence[JobGradients],
    batches: Sequence[Sequence[EncodedExample]],
    shops: range,
    gradients: Tensor,
    step: int,
) -> _Pass:
    """One pass: each shop's sum over its groups, by its rule, in its gradient row."""
    groups = [rules[shop].groups(batches[shop]) for shop in shops]
    counts = [len(own) for own in groups]
    rows = [shop for shop, own in zip(shops, groups, strict=True) for _ in own]
    # With one group for every shop, the shops' own rows take the gradients.
    in_place = rows == list(shops)
    part = gradients[shops.start : shops.stop] if in_place else gradients.new_empty(len(rows), gradients.shape[1])
    losses = gradients.new_empty(0)
    if rows:
        adapters.take_gradients(part)
        if adapters.dropout is not None:
            adapters.dropout.select(rows, step)
        losses = backward(base, adapters, [group for own in groups for group in own], rows)
        if bank.trained is not None:
            part *= bank.trained[rows]
    factors = _factors([rules[row].rule for row in rows], torch.linalg.vector_norm(part, dim=1))
    if in_place:
        part *= factors[:, None]
    else:
        for shop, own, weights in zip(
            shops, part.split_with_sizes(counts), factors.split_with_sizes(counts), strict=True
        ):
            gradients[shop] = weights @ own
    return _Pass(shops, counts, losses, [sum(example.label_tokens for example in batches[shop]) for shop in shops])


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


def _finish(bank: TrainingBank, rule: JobGradients, shop: int, gradient: Tensor) -> None:
    """Adds the step's noise to a row, and divides it as its rule says."""
    noise = rule.noise()
    if noise is not None:
        row = np.zeros(bank.layout.size, np.float32)
        bank.layout.write(row, noise)
        drawn = torch.from_numpy(row).to(gradient.device, gradient.dtype)
        gradient += drawn if bank.trained is None else drawn * bank.trained[shop]
    if rule.divisor != 1:
        gradient /= rule.divisor


def backward(
    base: PackedBase,
    adapters: ActiveAdapters,
    batches: Sequence[Sequence[EncodedExample]],
    rows: Sequence[int],
) -> Tensor:
    """Writes group g's gradient of its mean loss into gradient row g; returns the losses (groups,).

    Group g's batch meets bank row `rows[g]`. One group for each shop gives shops' gradients; one for
    each example, with the shops' rows repeated, gives per-example gradients.
    """
    examples = [example for batch in batches for example in batch]
    sizes = [len(batch) for batch in batches]
    packed, targets = pack_examples(examples, sizes, rows, base.device, base.training_groups)
    counts = packed.wanted_groups.counts
    weights = counts.to(base.dtype).reciprocal().repeat_interleave(counts, output_size=len(targets))
    hidden = forward_packed(base, packed, adapters, training=True)
    total, losses = label_loss(hidden, base.head, targets, weights, cap=base.logit_cap)
    torch.autograd.backward(total)
    parts = torch.split(losses * weights, packed.wanted_groups.sizes)
    return torch.stack([part.sum() for part in parts])
