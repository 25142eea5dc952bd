from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecc_fed.core.errors import CorpusError
from ecc_fed.core.records import Session, Turn
from ecc_fed.corpus.partition import topics
from ecc_fed.corpus.partition.auto import AutoPartition
from ecc_fed.corpus.partition.iid import IidPartition
from ecc_fed.corpus.partition.natural import NaturalPartition
from ecc_fed.corpus.partition.quantity import QuantityPartition
from ecc_fed.corpus.partition.skew import deal, draw_shares, fill_up
from ecc_fed.corpus.partition.topic import TopicPartition

MATTERS = ("快递几天送到发什么物流", "电子发票抬头税号开具", "退货退款售后申请审核", "坚果礼盒口味保质期日期")


def session(i: int, shop: str | None = None) -> Session:
    matter = MATTERS[i % len(MATTERS)]
    asked = Turn("customer", matter[i % 5 :] + matter[: i % 7])
    return Session(f"s{i}", (asked, Turn("agent", matter[::-1])), shop, float(i))


SESSIONS = [session(i) for i in range(120)]
RANDOM = (IidPartition(), QuantityPartition(), TopicPartition(num_topics=4))


@pytest.mark.parametrize("partition", RANDOM, ids=lambda p: type(p).__name__)
def test_every_session_has_one_shop_and_a_seed_gives_the_same_shops(partition):
    first = partition.assign(SESSIONS, 5, 7)
    assert len(first.shop_of) == len(SESSIONS)
    assert set(first.shop_of) == set(first.descriptions) == {f"shop-{i:03d}" for i in range(5)}
    assert min(Counter(first.shop_of).values()) >= partition.min_sessions
    assert partition.assign(SESSIONS, 5, 7).shop_of == first.shop_of
    assert partition.assign(SESSIONS, 5, 8).shop_of != first.shop_of


@given(
    st.integers(1, 12),
    st.integers(1, 6),
    st.sampled_from([1e-300, 1e-3, 0.1, 1.0, 100.0]),
    st.integers(0, 50),
    st.integers(0, 2**32),
)
def test_shops_have_their_minimum_at_any_skew(num_shops, min_sessions, alpha, extra, seed):
    rng = np.random.default_rng(seed)
    num_sessions = num_shops * min_sessions + extra
    owners = deal(num_sessions, draw_shares(num_shops, alpha, rng), rng)
    before = np.bincount(owners, minlength=num_shops)
    moved = fill_up(owners, num_shops, min_sessions, rng)
    after = np.bincount(owners, minlength=num_shops)
    assert after.sum() == num_sessions
    assert after.min() >= min_sessions
    # No more sessions move than are missing.
    assert moved == np.maximum(min_sessions - before, 0).sum()


def test_iid_shops_are_of_equal_size():
    sizes = Counter(IidPartition().assign(SESSIONS, 7, 0).shop_of).values()
    assert max(sizes) - min(sizes) <= 1


def test_quantity_skew_follows_dirichlet_alpha():
    def spread(alpha):
        sizes = Counter(QuantityPartition(alpha, min_sessions=1).assign(SESSIONS, 5, 1).shop_of).values()
        return max(sizes) - min(sizes)

    assert spread(1000.0) <= 10
    assert spread(0.1) >= 50


def test_topics_are_found_and_skew_follows_dirichlet_alpha():
    def largest_share(alpha):
        assignment = TopicPartition(alpha, num_topics=4).assign(SESSIONS, 4, 3)
        mixes = {}
        for i, shop in enumerate(assignment.shop_of):
            mixes.setdefault(shop, Counter())[i % len(MATTERS)] += 1
        return np.mean([max(mix.values()) / sum(mix.values()) for mix in mixes.values()])

    assert largest_share(0.05) > 0.7
    assert largest_share(1000.0) < 0.35


def test_topics_are_named_in_the_notes_and_the_shops_described():
    assignment = TopicPartition(0.1, num_topics=4).assign(SESSIONS, 2, 3)
    assert sum(note.startswith("topic ") for note in assignment.notes) == 4
    assert sum("日期" in note for note in assignment.notes) == 1
    assert all("%" in text for text in assignment.descriptions.values())


def test_one_group_is_one_topic():
    """Spherical k-means puts texts of one vocabulary together, whatever the start."""
    texts = [MATTERS[i % 4][i % 5 :] + MATTERS[i % 4] for i in range(80)]
    counts = topics.bigram_counts(texts)
    inverse = topics.inverse_frequency(counts)
    rows = topics.weigh(counts, inverse)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    centroids = topics.spherical_kmeans(rows, 4, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, rtol=1e-5)
    found = topics.assign_topics(texts, centroids, inverse)
    assert len({(i % 4, topic) for i, topic in enumerate(found.tolist())}) == 4


def test_weights_follow_their_formula():
    counts = topics.bigram_counts(["甲乙甲乙丙", "丁戊", "己庚", "辛壬", "癸子"])
    assert counts.sum() == 8
    inverse = topics.inverse_frequency(counts)
    used = counts.sum(axis=0) > 0
    np.testing.assert_allclose(inverse[used], np.log(6 / (1 + (counts > 0).sum(axis=0)[used])), rtol=1e-6)
    raw = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * inverse
    np.testing.assert_allclose(
        topics.weigh(counts, inverse), raw / np.linalg.norm(raw, axis=1, keepdims=True), rtol=1e-5
    )


def test_texts_without_words_do_not_break_the_topics():
    blank = [Session(f"s{i}", (Turn("customer", "?"), Turn("agent", "[订单x]"))) for i in range(30)]
    assert len(TopicPartition(num_topics=3).assign(blank, 3, 0).shop_of) == 30


@settings(max_examples=20)
@given(st.lists(st.sampled_from(["甲店", "乙店", "丙/店", None]), min_size=20, max_size=60), st.integers(0, 9))
def test_natural_shops_are_the_largest_of_the_data(names, seed):
    sessions = [session(i, name) for i, name in enumerate(names)]
    sizes = Counter(name for name in names if name is not None)
    large = [name for name, size in sizes.items() if size >= 2]
    if not large:
        return
    assignment = NaturalPartition(min_sessions=2).assign(sessions, len(large[:2]), seed)
    chosen = set(assignment.descriptions.values())
    assert min(sizes[name] for name in chosen) >= max([sizes[name] for name in sizes if name not in chosen], default=0)
    for name, shop_id in zip(names, assignment.shop_of, strict=True):
        assert (assignment.descriptions[shop_id] == name) if shop_id is not None else (name not in chosen)
        assert shop_id is None or "/" not in shop_id


def test_shop_names_become_distinct_folder_names():
    names = ["../a", "a", "A", "", "店 1", "店/1", "x" * 100]
    sessions = [session(i, names[i % len(names)] or "?!") for i in range(35)]
    ids = NaturalPartition().assign(sessions, 7, 0).descriptions
    assert len({shop_id.casefold() for shop_id in ids}) == 7
    assert all(shop_id and "/" not in shop_id and "." not in shop_id and len(shop_id) < 70 for shop_id in ids)


@pytest.mark.parametrize(
    ("partition", "num_shops", "said"),
    [
        (IidPartition(), 121, "corpus.num_shops=121 is more than the corpus has dialogues (120)"),
        (IidPartition(), 0, "corpus.num_shops is 0"),
        (IidPartition(min_sessions=0), 3, "partition.min_sessions is 0"),
        (IidPartition(min_sessions=50), 3, "Ask for at most 2 shops"),
        (QuantityPartition(0.0), 3, "partition.dirichlet_alpha is 0.0"),
        (QuantityPartition(float("nan")), 3, "partition.dirichlet_alpha is nan"),
        (TopicPartition(-1.0), 3, "partition.dirichlet_alpha is -1.0"),
        (TopicPartition(num_topics=1), 3, "partition.num_topics is 1"),
        (TopicPartition(num_topics=121), 3, "partition.num_topics=121 is more"),
        (NaturalPartition(), 3, "names none. Use partition=topic"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_remedy(partition, num_shops, said):
    with pytest.raises(CorpusError) as caught:
        partition.assign(SESSIONS, num_shops, 0)
    assert said in str(caught.value)


def test_too_few_natural_shops_are_refused():
    sessions = [session(i, "甲" if i else "乙") for i in range(20)]
    with pytest.raises(CorpusError, match=r"only 1 of the corpus's 2 shops have partition.min_sessions=5"):
        NaturalPartition().assign(sessions, 2, 0)


def test_the_corpuss_own_shops_are_taken_where_it_names_two():
    named = [session(i, ("甲店", "乙店", "丙店")[i % 3]) for i in range(30)]
    found = AutoPartition().assign(named, 3, 0)
    own = NaturalPartition().assign(named, 3, 0)
    assert (found.shop_of, found.descriptions) == (own.shop_of, own.descriptions)
    assert "partition=natural" in found.notes[-1]
    with pytest.raises(CorpusError, match=r"only 3 of the corpus's 3 shops .* Ask for fewer shops"):
        AutoPartition().assign(named, 4, 0)


@pytest.mark.parametrize(("shop", "why"), [(None, "names no shops"), ("甲店", "names one shop alone")])
def test_topics_make_the_shops_where_it_does_not(shop, why):
    sessions = [session(i, shop) for i in range(120)]
    found = AutoPartition(num_topics=4).assign(sessions, 5, 7)
    assert found.shop_of == TopicPartition(num_topics=4).assign(sessions, 5, 7).shop_of
    assert found.notes[-1] == f"The corpus {why}: shops are made by topic (partition=topic)"
