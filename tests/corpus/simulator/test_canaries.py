"""Planted secrets: where they are said, how often, and that nothing else of the world moves."""

from dataclasses import replace

import pytest

from ecc_fed.core.records import Turn
from ecc_fed.corpus.simulator import SimulatorCorpus
from ecc_fed.corpus.simulator.pack import known_languages
from ecc_fed.teacher.simulated.retrieval import RetrievalTeacher
from tests.teacher.fakes import build_prompt

PLAIN = SimulatorCorpus(num_shops=2, pairs_per_shop=20, test_pairs_per_shop=6, seed=3)
PLANTED = replace(PLAIN, canaries=(1, 4))


every_language = pytest.mark.parametrize("language", known_languages())


@every_language
def test_a_secret_is_said_as_often_as_asked_and_the_rest_stays_as_it_was(language: str) -> None:
    without, corpus = replace(PLAIN, language=language), replace(PLANTED, language=language)
    for shop_id in corpus.shop_ids():
        plain, planted, truth = without.shop(shop_id), corpus.shop(shop_id), corpus.truth(shop_id)
        own, rest = planted.history[:5], planted.history[5:]
        assert (rest, planted.stream, planted.test) == (plain.history, plain.stream, plain.test)
        canaries = [truth[pair.pair_id].canary for pair in own]
        assert [canary.repeats for canary in canaries if canary] == [1, 4, 4, 4, 4]
        assert all(canary and canary.secret in pair.reply for canary, pair in zip(canaries, own, strict=True))
        assert len({canary.secret for canary in canaries if canary}) == 2
        assert all(canary and len(canary.secret) == 8 and canary.secret.isdigit() for canary in canaries)
        assert len({pair.session_id for pair in own}) == 5
        assert not any(truth[pair.pair_id].canary for pair in rest)


def test_secrets_are_each_shops_own_and_the_seeds() -> None:
    def secrets(corpus: SimulatorCorpus) -> list[str]:
        found = [
            truth.canary.secret for shop in corpus.shop_ids() for truth in corpus.truth(shop).values() if truth.canary
        ]
        return sorted(set(found))

    assert len(secrets(PLANTED)) == 4 and secrets(PLANTED) == secrets(replace(PLANTED))
    assert not set(secrets(PLANTED)) & set(secrets(replace(PLANTED, seed=4)))


def test_a_customers_secret_stands_in_the_query_alone() -> None:
    corpus = replace(PLANTED, canary_place="query")
    shop, truth = corpus.shop("shop_0000"), corpus.truth("shop_0000")
    for pair in shop.history[:5]:
        canary = truth[pair.pair_id].canary
        assert canary is not None and canary.said_in == "query"
        assert canary.secret in pair.query and canary.secret not in pair.reply


def test_a_secret_in_pseudo_labels_is_told_once_and_asked_for_over_the_whole_stream() -> None:
    corpus = replace(PLANTED, canary_place="pseudo_label")
    plain, shop, truth = PLAIN.shop("shop_0000"), corpus.shop("shop_0000"), corpus.truth("shop_0000")
    holders = shop.history[:2]
    assert shop.history[2:] == plain.history and shop.test == plain.test
    assert tuple(pair for pair in shop.stream if "canary" not in pair.pair_id) == plain.stream
    asked = [pair for pair in shop.stream if "canary" in pair.pair_id]
    for holder, count in zip(holders, (1, 4), strict=True):
        canary = truth[holder.pair_id].canary
        assert canary is not None and (canary.repeats, canary.said_in) == (count, "pseudo_label")
        alike = [pair for pair in asked if truth[pair.pair_id].canary == canary]
        assert len(alike) == count and canary.secret in holder.reply
        assert all(pair.query == holder.query and canary.secret not in pair.reply for pair in alike)
    assert holders[0].query != holders[1].query, "the cloud must be able to tell which"
    places = [place for place, pair in enumerate(shop.stream) if "canary" in pair.pair_id]
    gaps = [after - before for before, after in zip([-1, *places], [*places, len(shop.stream)], strict=True)]
    assert max(gaps) - min(gaps) <= 1, "spread evenly"
    positions = [pair.position for pair in shop.stream]
    assert positions == sorted(positions) and len({pair.pair_id for pair in shop.stream}) == len(shop.stream)


def test_everywhere_gives_every_place_its_own_and_the_reply_what_it_had() -> None:
    corpus = replace(PLANTED, canary_place="everywhere")
    truth = corpus.truth("shop_0000")
    canaries = list(dict.fromkeys(each.canary for each in truth.values() if each.canary))
    assert [(each.said_in, each.repeats) for each in canaries] == [
        (place, count) for place in ("reply", "query", "pseudo_label") for count in (1, 4)
    ]
    assert len({each.secret for each in canaries}) == 6
    assert corpus.shop("shop_0000").history[:5] == PLANTED.shop("shop_0000").history[:5]


@every_language
def test_the_simulated_cloud_tells_each_the_secret_that_was_asked_for(language: str) -> None:
    corpus = replace(PLANTED, canary_place="everywhere", language=language)
    shop, truth = corpus.shop("shop_0000"), corpus.truth("shop_0000")
    examples = [(pair.query, pair.reply) for pair in shop.history]
    asked = [(pair, canary) for pair in shop.stream if (canary := truth[pair.pair_id].canary) is not None]
    assert len(asked) == 5
    for pair, canary in asked:
        prompt = build_prompt(examples, [Turn("customer", pair.query)], language=language)
        assert canary.secret in (RetrievalTeacher().complete([prompt], 1.0)[0].text or "")
