"""Others' replies to a shop's test queries: ceilings to hold its own against, and a floor for the judge.

The cloud's and the human agent's replies show what a score could reach. A human reply to another query shows what
the judge gives a reply that is good Chinese (or English) and answers something else: a judge that cannot tell the two
human replies apart can tell nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from sacrebleu.metrics.chrf import CHRF

from ecc_fed.core.records import Pair, TeacherReply
from ecc_fed.core.rows import SampleRow
from ecc_fed.core.seeding import derive_rng
from ecc_fed.core.truth import ShopTruth, Truth
from ecc_fed.evolution.loop import judge_replies
from ecc_fed.evolution.sample_rows import Taught, sample_row
from ecc_fed.evolution.settings import Services


def another_reply(pair: Pair, pairs: Sequence[Pair], seed: int) -> str | None:
    """The human reply of another dialogue among `pairs`, never the same text; None where there is none."""
    others = [other.reply for other in pairs if other.session_id != pair.session_id and other.reply != pair.reply]
    return others[int(derive_rng(seed, "other", pair.pair_id).integers(len(others)))] if others else None


def others_replies(
    pairs: Sequence[Pair],
    cloud: Sequence[TeacherReply | None],
    server_round: int,
    truth: ShopTruth,
    taught: Taught,
    services: Services,
    seed: int,
) -> list[SampleRow]:
    """Rows of phases "teacher" (where the cloud answered), "human" and "other" (where there is another dialogue).

    Args:
        pairs: a shop's test pairs.
        cloud: the cloud's replies to them, in their order; None where it was not asked.
        server_round: for the records.
        truth: what is true of the pairs.
        taught: what the shop's training pairs hold.
        services: the judge.
        seed: the shop's evaluation seed; the choice of the other reply hangs on it and the pair alone.
    """
    chrf = CHRF()
    rows = [
        sample_row(
            pair,
            truth.get(pair.pair_id, Truth()),
            "teacher",
            server_round,
            answer.text,
            answer.text,
            taught,
            chrf=chrf.sentence_score(answer.text, [pair.reply]).score,
        )
        for pair, answer in zip(pairs, cloud, strict=True)
        if answer is not None and answer.text is not None
    ]
    references = [None if answer is None else answer.text for answer in cloud]
    other = [another_reply(pair, pairs, seed) for pair in pairs]
    swapped = [i for i, reply in enumerate(other) if reply is not None]
    asked = [*range(len(pairs)), *swapped]
    replies = [*(pair.reply for pair in pairs), *(reply for reply in other if reply is not None)]
    judgements = judge_replies([pairs[i] for i in asked], replies, [cloud[i] for i in asked], services)
    for number, (i, reply, judgement) in enumerate(zip(asked, replies, judgements, strict=True)):
        human, about = number < len(pairs), truth.get(pairs[i].pair_id, Truth())
        rows.append(
            sample_row(
                pairs[i],
                about if human else Truth(about.intent, about.form_id),
                "human" if human else "other",
                server_round,
                reply,
                references[i],
                taught,
                judgement=judgement,
            )
        )
    return rows
