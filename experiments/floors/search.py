"""What a query is best held against, where a shop copies its nearest own example: python -m experiments.floors.search

Right shop facts of held-out questions (values that training held), from the natural pairs of the shops alone: no run,
no pseudo-labels, and no model but the encoder.
"""

from __future__ import annotations

from collections.abc import Iterator

from ecc_fed.assembly.build import build_corpus, build_similarity
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.core.facts import states_all
from ecc_fed.core.protocols import TextEncoder
from ecc_fed.core.records import Asked, OwnExample, Pair, Turn
from ecc_fed.evolution.answering.nearest_example import NearestExample
from ecc_fed.evolution.answering.search import Match
from ecc_fed.evolution.sample_rows import taught_by
from ecc_fed.evolution.stream import natural_pairs

SEEDS, SHARES = (0, 1, 2), (0.0, 0.5)
MATCHES: tuple[Match, ...] = ("question", "question_and_answer")


def _prompt(pair: Pair, turns: int) -> tuple[Turn, ...]:
    """The query with the last `turns` of what was said before it, as one text."""
    said = pair.context[len(pair.context) - min(turns, len(pair.context)) :]
    return (Turn("customer", " ".join(turn.text for turn in (*said, pair.prompt[-1]))),)


def rights(share: float, match: Match, encoder: TextEncoder | None, turns: int) -> Iterator[bool]:
    """Of every held-out question about shop facts that training held: whether the copied answer states them."""
    for seed in SEEDS:
        config = to_run_config(compose_run([f"corpus.platform_share={share}", f"seed={seed}"]))
        corpus, human_share = build_corpus(config), config.evolution.human_share
        for shop_id in corpus.shop_ids():
            shop, truth = corpus.shop(shop_id), corpus.truth(shop_id)
            natural = natural_pairs(shop, human_share, seed)
            known = [OwnExample(pair.pair_id, _prompt(pair, turns), pair.reply) for pair in natural]
            asked = [Asked(_prompt(pair, turns)) for pair in shop.test]
            taught = taught_by(natural, truth).facts
            for pair, reply in zip(shop.test, NearestExample(match, encoder).prepare(asked, known), strict=True):
                facts = [fact for fact in truth[pair.pair_id].facts if fact.scope == "shop"]
                facts = [fact for fact in facts if taught.get((fact.key, fact.accepted))]
                if facts:
                    yield states_all(str(reply), facts)


def main() -> None:
    """Prints the table."""
    encoder: TextEncoder = build_similarity(to_run_config(compose_run([])))
    print(f"| held against | by | turns before | {' | '.join(f'platform share {share:g}' for share in SHARES)} |")
    print(f"|{'---|' * (3 + len(SHARES))}")
    for match in MATCHES:
        for name, by, turns in (("characters", None, 0), ("characters", None, 2), ("the judge's encoder", encoder, 0)):
            found = [list(rights(share, match, by, turns)) for share in SHARES]
            cells = [f"{sum(each) / len(each):.1%} of {len(each)}" for each in found]
            print(f"| {match.replace('_', ' ')} | {name} | {turns} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
