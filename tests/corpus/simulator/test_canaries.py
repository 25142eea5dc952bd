"""Planted secrets: where they are said, how often, and that nothing else of the world moves."""

from dataclasses import replace

from ecc_fed.corpus.simulator import SimulatorCorpus

PLAIN = SimulatorCorpus(num_shops=2, pairs_per_shop=20, test_pairs_per_shop=6, seed=3)
PLANTED = replace(PLAIN, canaries=(1, 4))


def test_a_secret_is_said_as_often_as_asked_and_the_rest_stays_as_it_was() -> None:
    for shop_id in PLAIN.shop_ids():
        plain, planted, truth = PLAIN.shop(shop_id), PLANTED.shop(shop_id), PLANTED.truth(shop_id)
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
