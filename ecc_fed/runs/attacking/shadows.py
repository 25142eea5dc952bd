"""Adapters that an attacker trains on other shops' data, as the victims trained theirs: what no member looks like.

Shops are cut in two halves at random, and an adapter is trained on each: every shop is left out of one of the two. Its
training is the run's, as many steps at the same rates from the same fresh adapter, without noise or aggregation.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.protocols import EndModel
from ecc_fed.core.records import AdapterState, Example, FineTuneJob, Pair
from ecc_fed.core.seeding import adapter_seed, derive_rng, derive_seed
from ecc_fed.evolution.experience import cycled
from ecc_fed.privacy.attacks.lira import Logits, logit_scale
from ecc_fed.privacy.attacks.membership import loss_score
from ecc_fed.runs.attacking.victims import Victim, likelihoods


@dataclass(frozen=True)
class Shadow:
    """An adapter, and the shops whose pairs it learned."""

    shop_ids: frozenset[str]
    adapter: AdapterState


@dataclass(frozen=True)
class Shadows:
    """All of them, and what they took."""

    shadows: tuple[Shadow, ...] = ()
    seconds: float = 0.0

    def logits(self, model: EndModel, shop_id: str, pairs: Sequence[Pair]) -> Logits | None:
        """phi (shadows, pairs) of pairs of one shop under those that learned nothing of it; None without any."""
        rows = []
        for shadow in self.shadows:
            if shop_id not in shadow.shop_ids:
                found = likelihoods(model, shadow.adapter, [Example(pair.prompt, pair.reply) for pair in pairs])
                rows.append(logit_scale(loss_score([e.nll_nats for e in found], [e.label_tokens for e in found])))
        return np.stack(rows) if rows else None


def train_shadows(victims: Sequence[Victim], config: RunConfig, model: EndModel, count: int) -> Shadows:
    """`count` adapters for every shop that never saw it: twice as many are trained, all beside each other.

    Args:
        victims: the run's shops.
        config: of the run.
        model: that trains them.
        count: 0 trains none; nor does a run of one shop, where nobody else has data.
    """
    started = time.perf_counter()
    shop_ids = [victim.shop.shop_id for victim in victims]
    if not count or len(shop_ids) < 2:
        return Shadows()
    halves = [half for number in range(count) for half in _halves(shop_ids, config.seed, number)]
    fresh = model.new_adapter(adapter_seed(config.seed))
    evolution = config.evolution
    settings = replace(config.finetune, steps=config.finetune.steps * evolution.server_rounds * evolution.cycles)
    jobs = []
    for number, half in enumerate(halves):
        seed = derive_seed(config.seed, "shadow", number)
        known = _texts_of(victims, half)
        order = cycled(len(known), settings.steps * settings.batch_size, derive_rng(seed, "examples"))
        examples = tuple(known[place] for place in order)
        jobs.append(FineTuneJob(fresh, None, examples, settings, seed))
    trained = model.fine_tune(jobs)
    shadows = tuple(Shadow(half, result.adapter) for half, result in zip(halves, trained, strict=True))
    return Shadows(shadows, time.perf_counter() - started)


def _halves(shop_ids: Sequence[str], seed: int, number: int) -> tuple[frozenset[str], frozenset[str]]:
    order = derive_rng(seed, "shadow_halves", number).permutation(len(shop_ids)).tolist()
    middle = len(order) // 2
    first = frozenset(shop_ids[place] for place in order[:middle])
    return first, frozenset(shop_ids) - first


def _texts_of(victims: Sequence[Victim], half: frozenset[str]) -> list[Example]:
    """What the half's shops learned from, but for texts that are also looked for in a shop of the other half."""
    looked_for = {
        (pair.query, pair.reply)
        for victim in victims
        if victim.shop.shop_id not in half
        for pair in victim.pairs_to_tell()[0]
    }
    return [
        Example(pair.prompt, pair.reply)
        for victim in victims
        if victim.shop.shop_id in half
        for pair in victim.learned()
        if victim.canary(pair) is None and (pair.query, pair.reply) not in looked_for
    ]
