"""Updates as shops would upload them: from one step over one short text to a round as the program trains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecc_fed.core.aggregation import EVERYTHING, LORA_B, Patterns
from ecc_fed.core.gradient_rule import GradientRule
from ecc_fed.core.protocols import EndModel
from ecc_fed.core.records import AdapterState, Example, FineTuneJob, FineTuneSettings, Shop
from ecc_fed.core.seeding import derive_rng, derive_seed
from ecc_fed.end_model.training.record_privacy import RecordPrivacy, sampling_rate
from ecc_fed.privacy.accounting import noise_multiplier

SHOPS_IN_A_SUM = 5
# conf/finetune/embedded.yaml and conf/evolution/default.yaml.
TUNING = FineTuneSettings(steps=50, batch_size=8, learning_rate=4e-3, linear_decay=True)
ROUNDS = 4
DELTA = 1e-4


@dataclass(frozen=True)
class Work:
    """What a shop does in a round. `plain_step`: the update is the gradient of one step, as SGD would take it."""

    name: str
    pairs: int
    steps: int
    plain_step: bool
    # The one pair is of about so many tokens.
    tokens: tuple[int, int] | None = None


WORKS = {
    "step": Work("one SGD step on one pair of 18 to 22 tokens", 1, 1, True, (18, 22)),
    "steps": Work("20 AdamW steps on the same", 1, 20, False, (18, 22)),
    "batch": Work("one SGD step on 8 pairs", 8, 1, True),
    "round": Work("a round: 50 AdamW steps, each on 8 of 60 pairs", 60, 50, False),
}


@dataclass(frozen=True)
class Draw:
    """What one shop trains on, and as many pairs of the same shop, 20 at least, that it does not."""

    shop_id: str
    inside: tuple[Example, ...]
    outside: tuple[Example, ...]


def draw(shop: Shop, work: Work, lengths: Mapping[Example, int], seed: int) -> Draw:
    """Pairs of a shop for one work, drawn of the seed.

    Args:
        shop: whose.
        work: what for.
        lengths: tokens of each of its examples.
        seed: of the draw.

    Raises:
        ValueError: the shop has no pair of the length that is wanted.
    """
    rng = derive_rng(seed, "draw", shop.shop_id, work.pairs)
    known = list(dict.fromkeys(Example(pair.prompt, pair.reply) for pair in (*shop.history, *shop.stream)))
    order = [known[place] for place in rng.permutation(len(known))]
    low, high = work.tokens or (0, 10**9)
    inside = [each for each in order if low <= lengths[each] <= high][: work.pairs]
    if len(inside) < work.pairs:
        raise ValueError(f"{shop.shop_id} has {len(inside)} pairs of {low} to {high} tokens, {work.pairs} are wanted")
    chosen = set(inside)
    outside = [each for each in order if each not in chosen and low <= lengths[each] <= high]
    return Draw(shop.shop_id, tuple(inside), tuple(outside[: max(20, work.pairs)]))


def updates(
    model: EndModel,
    start: AdapterState,
    draws: Sequence[Draw],
    work: Work,
    seed: int,
    trained: Patterns = EVERYTHING,
    rule: GradientRule | None = None,
) -> list[AdapterState]:
    """Each draw's update from `start`: the gradient of its one plain step, or what AdamW, begun afresh, made of it."""
    settings = FineTuneSettings(
        work.steps, min(work.pairs, TUNING.batch_size), TUNING.learning_rate, TUNING.linear_decay
    )
    jobs = [
        FineTuneJob(
            start,
            None,
            each.inside,
            settings,
            derive_seed(seed, "fine_tune", each.shop_id),
            gradient=rule,
            trained=trained,
            # Asks for the mean of the steps' gradients.
            correction={} if work.plain_step else None,
        )
        for each in draws
    ]
    found = []
    for result in model.fine_tune(jobs):
        moved = result.gradient if work.plain_step else None
        if moved is None:
            moved = {name: result.adapter[name] - start[name] for name in start}
        found.append({name: moved.get(name, np.zeros_like(start[name])) for name in start})
    return found


def summed(found: Sequence[AdapterState], place: int, shops: int, with_it: bool = True) -> AdapterState:
    """The mean of `shops` updates in a row, the one at `place` first, or from the next one on."""
    first = place if with_it else place + 1
    chosen = [found[(first + offset) % len(found)] for offset in range(shops)]
    return {name: np.mean([each[name] for each in chosen], axis=0) for name in chosen[0]}


def averaged_start(model: EndModel, shops: Sequence[Shop], seed: int) -> AdapterState:
    """What a server sends after a round of other shops: the mean of their adapters, all trained from one fresh one."""
    fresh = model.new_adapter(derive_seed(seed, "adapter"))
    jobs = [
        FineTuneJob(
            fresh,
            None,
            tuple(Example(pair.prompt, pair.reply) for pair in shop.history),
            TUNING,
            derive_seed(seed, "start", shop.shop_id),
        )
        for shop in shops
    ]
    trained = [result.adapter for result in model.fine_tune(jobs)]
    return {name: np.mean([each[name] for each in trained], axis=0, dtype=np.float32) for name in fresh}


def noisy(epsilon: float, records: int) -> RecordPrivacy:
    """DP-SGD as a run of four rounds has it for a shop of so many records.

    Raises:
        ConfigError: no noise keeps the budget, or opacus is not installed.
        ValueError: the budget cannot be kept.
    """
    rate = sampling_rate(records, TUNING.batch_size)
    sigma = noise_multiplier((), rate, ROUNDS * TUNING.steps, epsilon, DELTA)
    if sigma is None:
        raise ValueError(f"epsilon {epsilon:g} cannot be kept over {ROUNDS} rounds by any noise")
    return RecordPrivacy(TUNING.clipping_norm, sigma)


FROZEN_A = LORA_B
