"""By how many bits does a planted secret stand out among others that might have been planted?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random

from ecc_fed.core.protocols import EndModel
from ecc_fed.core.records import AdapterState, Example, Pair, Turn
from ecc_fed.core.rows import AttackRow, AttackTarget
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.truth import Canary
from ecc_fed.corpus.simulator.canaries import draw_secret
from ecc_fed.privacy.attacks.exposure import exposure_bits
from ecc_fed.runs.attacking.victims import Victim, likelihoods


def exposure_rows(
    target: AttackTarget,
    victim: Victim,
    adapter: AdapterState | None,
    model: EndModel,
    candidates: int,
    seed: int,
) -> Iterator[AttackRow]:
    """A row for every planted secret, ranked among so many candidates, itself included."""
    for pair, canary in victim.planted():
        rng = Random(derive_seed(seed, "candidates", pair.pair_id))
        others: set[str] = set()
        while len(others) < candidates - 1:
            others.add(draw_secret(rng))
            others.discard(canary.secret)
        texts = [_with(pair, canary, secret) for secret in (canary.secret, *sorted(others))]
        nats = [each.nll_nats for each in likelihoods(model, adapter, texts)]
        bits = exposure_bits(nats[0], nats[1:])
        kind = f"{canary.repeats}x in the {canary.said_in}"
        most = math.log2(candidates)
        yield AttackRow("exposure", target, pair.shop_id, pair.pair_id, pair.session_id, bits, kind=kind, most=most)


def _with(pair: Pair, canary: Canary, secret: str) -> Example:
    """The planted text with another secret, as something that the model says.

    What a customer said is no reply: its beginning stands as the question, and the model goes on with the secret.
    """
    if canary.said_in != "query":
        return Example(pair.prompt, pair.reply.replace(canary.secret, secret))
    before, _, after = pair.query.partition(canary.secret)
    return Example((Turn("customer", before),), f"{secret}{after}")
