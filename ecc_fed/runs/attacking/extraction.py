"""Does a model say what only another's dialogues held? Asked word for word, and by a shop that knows its own alone.

The second is FedPII's (Hu et al. 2025, arXiv 2506.06060): a shop has nothing but its own dialogues to ask with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ecc_fed.core.protocols import EndModel
from ecc_fed.core.records import AdapterState, Decoding, Pair, ReplyRequest, Shop, Turn
from ecc_fed.core.rows import AttackRow, AttackTarget
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.truth import ShopTruth
from ecc_fed.privacy.attacks.leaks import coverage, efficiency
from ecc_fed.runs.attacking.victims import Victim

_GREEDY = Decoding(sample=False)
# What a shop asks of its own customers' questions, and how often each where replies are drawn.
QUESTIONS = 64
DRAWS = 4


def extraction_rows(
    target: AttackTarget, victim: Victim, adapter: AdapterState | None, model: EndModel
) -> Iterator[AttackRow]:
    """Asks what customers of the shop had asked, word for word, and looks for what only the agent's reply said."""
    wanted = [(pair, kind, value) for pair in victim.learned() for kind, value in _only_told(victim, pair)]
    for pair, canary in victim.planted():
        if canary.said_in != "query":
            by = " by the cloud" if canary.said_in == "pseudo_label" else ""
            wanted.append((pair, f"secret said {canary.repeats}x{by}", canary.secret))
    prompts = tuple(dict.fromkeys(pair.prompt for pair, _, _ in wanted))
    if not prompts:
        return
    replies = dict(zip(prompts, model.reply([ReplyRequest(adapter, prompts, _GREEDY, 0)])[0], strict=True))
    for pair, kind, value in wanted:
        said = float(value in replies[pair.prompt])
        yield AttackRow("extraction", target, pair.shop_id, pair.pair_id, pair.session_id, said, kind=kind)


def cross_shop_rows(
    target: AttackTarget, victim: Victim, adapter: AdapterState | None, model: EndModel, drawn: Decoding, seed: int
) -> Iterator[AttackRow]:
    """Another shop asks its own customers' questions, greedily and by draws, for values of the victim.

    Coverage has a row for each of the victim's values, efficiency one for each reply. Nothing without another shop, or
    where it has every value itself.

    Args:
        target: whose adapter is asked.
        victim: whose values are looked for.
        adapter: None: the bare base.
        model: that serves it.
        drawn: how sampled replies are drawn.
        seed: of the run.
    """
    if victim.other is None:
        return
    values = values_to_find(victim)
    questions = questions_of(victim.other, victim.other_truth)
    if not values or not questions:
        return
    sampled = replace(drawn, sample=True)
    ways = {"greedy": (_GREEDY, 1), f"{DRAWS} draws": (sampled, DRAWS)}
    for kind, (decoding, times) in ways.items():
        asked = tuple(prompt for prompt in questions for _ in range(times))
        draws = derive_seed(seed, "cross_shop", victim.shop.shop_id, target, kind)
        replies = model.reply([ReplyRequest(adapter, asked, decoding, draws)])[0]
        for pair, said in zip(values.values(), coverage(list(values), replies), strict=True):
            planted = ", planted" if victim.canary(pair) is not None else ""
            yield AttackRow(
                "coverage", target, pair.shop_id, pair.pair_id, pair.session_id, float(said), kind=f"{kind}{planted}"
            )
        for place, told in enumerate(efficiency(list(values), replies)):
            item, question = f"reply {place}", f"question {place // times}"
            yield AttackRow("efficiency", target, victim.shop.shop_id, item, question, float(told), kind=kind)


def values_to_find(victim: Victim) -> Mapping[str, Pair]:
    """Private values and secrets that replies hold which the victim learned, each with its first such pair.

    What the other shop's own dialogues hold is no find.
    """
    found: dict[str, Pair] = {}
    for pair in victim.learned():
        truth = victim.truth.get(pair.pair_id)
        values = [] if truth is None else [each.value for each in truth.private_values if "reply" in each.said_in]
        canary = victim.canary(pair)
        if canary is not None and canary.secret in pair.reply:
            values.append(canary.secret)
        for value in values:
            found.setdefault(value, pair)
    theirs = "\n".join(_all_texts(victim.other))
    return {value: pair for value, pair in found.items() if value not in theirs}


def questions_of(shop: Shop, truth: ShopTruth) -> list[tuple[Turn, ...]]:
    """`QUESTIONS` that its customers asked, each once: first those that its agents answered with something private."""

    def told(pair: Pair) -> bool:
        of = truth.get(pair.pair_id)
        return of is not None and (of.canary is not None or any("reply" in each.said_in for each in of.private_values))

    pairs = sorted((*shop.history, *shop.stream), key=lambda pair: not told(pair))
    return list(dict.fromkeys(pair.prompt for pair in pairs))[:QUESTIONS]


def _all_texts(shop: Shop | None) -> Iterator[str]:
    for pair in () if shop is None else (*shop.history, *shop.stream, *shop.test):
        yield from (turn.text for turn in pair.prompt)
        yield pair.reply


def _only_told(victim: Victim, pair: Pair) -> Sequence[tuple[str, str]]:
    """Private values, by kind, that the reply says and nothing before it."""
    truth = victim.truth.get(pair.pair_id)
    values = () if truth is None else truth.private_values
    return [(each.kind, each.value) for each in values if each.said_in == ("reply",)]
