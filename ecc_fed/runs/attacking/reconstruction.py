"""What redaction hid, guessed back: whoever has a redacted dialogue and an adapter ranks what may have stood there.

After R.R. (Recollect and Rank, arXiv 2502.12658), with candidates at hand: the other values of the kind that customers
of this run have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from random import Random

from ecc_fed.core.protocols import EndModel
from ecc_fed.core.records import AdapterState, Example, Pair, Turn
from ecc_fed.core.rows import AttackRow, AttackTarget
from ecc_fed.core.seeding import derive_seed
from ecc_fed.privacy.attacks.exposure import exposure_bits
from ecc_fed.privacy.redaction.redactors import OrderRecordRedaction
from ecc_fed.runs.attacking.victims import Victim, likelihoods

# Values of a shop that are guessed at, and among how many each is ranked, itself included.
VALUES = 32
CANDIDATES = 32


def reconstruction_rows(
    target: AttackTarget, victim: Victim, adapter: AdapterState | None, model: EndModel, seed: int
) -> Iterator[AttackRow]:
    """A row for each of the first `VALUES` values that redaction takes out of replies which the victim learned.

    The candidates take its place one by one, all else stays redacted; a kind with fewer values is left out.
    """
    pool = _values(victim)
    most = math.log2(CANDIDATES)
    for pair, prompt, reply, kind, value, placeholder in _hidden(victim, pool):
        rng = Random(derive_seed(seed, "reconstruction", pair.pair_id, value))
        others = rng.sample([other for other in pool[kind] if other != value], CANDIDATES - 1)
        texts = [Example(prompt, reply.replace(placeholder, each)) for each in (value, *others)]
        # By the mean over tokens: candidates differ in length.
        nats = [each.nll_nats / each.label_tokens for each in likelihoods(model, adapter, texts)]
        bits = exposure_bits(nats[0], nats[1:])
        where = pair.shop_id, pair.pair_id, pair.session_id
        yield AttackRow("reconstruction", target, *where, bits, kind=kind, most=most)


def _values(victim: Victim) -> Mapping[str, Sequence[str]]:
    """Kind -> all values that this shop's and the other's customers have, sorted; kinds with enough of them alone."""
    found: dict[str, set[str]] = {}
    for truth in (*victim.truth.values(), *victim.other_truth.values()):
        for each in truth.private_values:
            found.setdefault(each.kind, set()).add(each.value)
    return {kind: sorted(values) for kind, values in found.items() if len(values) >= CANDIDATES}


def _hidden(
    victim: Victim, pool: Mapping[str, Sequence[str]]
) -> Iterator[tuple[Pair, tuple[Turn, ...], str, str, str, str]]:
    """Pair, redacted prompt and reply, and kind, value and placeholder of what was taken out of the reply."""
    redactor, seen = OrderRecordRedaction(), set[str]()
    for pair in victim.learned():
        truth = victim.truth.get(pair.pair_id)
        if truth is None or truth.canary is not None or not truth.private_values:
            continue
        told = {each.value: each.kind for each in truth.private_values}
        session = redactor.redact((*pair.prompt, Turn("agent", pair.reply)), pair.customer)
        reply = session.turns[-1].text
        for hidden in session.hidden:
            kind = told.get(hidden.value)
            if kind is None or kind not in pool or hidden.value in seen:
                continue
            if hidden.placeholder and hidden.placeholder in reply:
                seen.add(hidden.value)
                yield pair, session.turns[:-1], reply, kind, hidden.value, hidden.placeholder
                if len(seen) == VALUES:
                    return
