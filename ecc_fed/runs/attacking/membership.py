"""Can pairs that were learned be told from pairs of the same stream that were not?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ecc_fed.core.records import Likelihood, Pair
from ecc_fed.core.rows import AttackName, AttackRow, AttackTarget
from ecc_fed.privacy.attacks.lira import Logits, offline_lira
from ecc_fed.privacy.attacks.membership import Floats, loss_score, min_k_score, ratio_score


def membership_rows(
    target: AttackTarget,
    pairs: Sequence[Pair],
    members: Sequence[bool],
    found: Sequence[Likelihood],
    base: Sequence[Likelihood],
    out: Logits | None,
) -> Iterator[AttackRow]:
    """A row for every pair and score.

    Args:
        target: whose adapter.
        pairs: to tell.
        members: which of them were learned.
        found: their replies' likelihoods under the adapter.
        base: the same under the bare base.
        out: logits (shadows, pairs) under adapters that never saw them; None: no LiRA.
    """
    nats, tokens = [each.nll_nats for each in found], [each.label_tokens for each in found]
    scores: dict[AttackName, Floats] = {
        "membership_loss": loss_score(nats, tokens),
        "membership_ratio": ratio_score(nats, [each.nll_nats for each in base], tokens),
        "membership_min_k": min_k_score([each.token_nats for each in found]),
    }
    if out is not None:
        scores["membership_lira"] = offline_lira(loss_score(nats, tokens), out)
    for place, (pair, member) in enumerate(zip(pairs, members, strict=True)):
        for attack, values in scores.items():
            score = float(values[place])
            yield AttackRow(attack, target, pair.shop_id, pair.pair_id, pair.session_id, score, member)
