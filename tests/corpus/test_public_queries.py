"""Public queries from a file of a user's own, and from the simulator."""

import json
from pathlib import Path

import pytest

from ecc_fed.core.errors import CorpusError
from ecc_fed.corpus.public_queries import read_queries
from ecc_fed.corpus.simulator import SimulatorCorpus
from ecc_fed.corpus.simulator.pack import load_pack
from ecc_fed.corpus.simulator.public import opening_questions
from ecc_fed.evolution.public_set import refuse_tested


def write(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines), encoding="utf-8")
    return path


def test_a_file_gives_so_many_of_its_queries_in_its_order(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", *[{"query": f" q{number:02d} ", "intent": "price"} for number in range(40)])
    every = tuple(f"q{number:02d}" for number in range(40))
    assert read_queries(path, 40, 0) == every
    some = read_queries(path, 10, 0)
    assert len(set(some)) == 10 and some == tuple(sorted(some)) and set(some) < set(every)
    assert some == read_queries(path, 10, 0) != read_queries(path, 10, 1)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], r"holds 0 queries and arm.queries.count=2. Add some, or set arm.queries.count=1"),
        ([{"query": "a"}], r"holds 1 queries and arm.queries.count=2. Add some, or set arm.queries.count=1"),
        ([{"query": "a"}, {"text": "b"}], "row 2 has no query of 1 to 1000 characters"),
        ([{"query": "a"}, {"query": "  "}], "row 2 has no query of 1 to 1000 characters"),
        ([{"query": "a"}, {"query": "b" * 1001}], "row 2 has no query of 1 to 1000 characters"),
        ([{"query": "a"}, {"query": 3}], "row 2 has no query of 1 to 1000 characters"),
        (['{"query": "\\ud800"}', {"query": "b"}], "row 1 has no query of 1 to 1000 characters"),
        ([{"query": "a"}, {"query": "b"}, {"query": "a "}], "row 3 asks what row 1 asks"),
        ([{"query": "a"}, "no json", {"query": "b"}], "line 2"),
        (["[1]", {"query": "b"}], "cannot be read"),
    ],
)
def test_a_file_that_is_no_list_of_queries_is_one_clear_message(
    tmp_path: Path, lines: list[object], reason: str
) -> None:
    path = write(tmp_path / "q.jsonl", *lines)
    with pytest.raises(CorpusError, match=reason) as caught:
        read_queries(path, 2, 0)
    assert "q.jsonl" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"arm\.queries\.path=.*gone\.jsonl: no such file"):
        read_queries(tmp_path / "gone.jsonl", 2, 0)
    with pytest.raises(CorpusError, match="no such file"):
        read_queries(tmp_path, 2, 0)


def test_the_simulator_asks_different_questions_about_facts_always_the_same_ones() -> None:
    queries = SimulatorCorpus(seed=3).public_queries(200)
    assert len(set(queries)) == 200
    assert queries == SimulatorCorpus(seed=3, num_shops=2, pairs_per_shop=8).public_queries(200)
    assert queries[:50] == SimulatorCorpus(seed=3).public_queries(50)
    assert queries != SimulatorCorpus(seed=4).public_queries(200)


def test_they_name_no_product_of_a_shops_and_no_test_asks_them() -> None:
    private = [name for category in load_pack("zh").categories for name in category.private]
    public = [name for category in load_pack("zh").categories for name in category.public]
    queries = SimulatorCorpus(seed=5).public_queries(400)
    named = [query for query in queries if any(name in query for name in public)]
    assert len(named) > 100
    # A private name may be part of a public one.
    assert not [q for q in queries if any(name in q for name in private) and q not in named]
    for seed in range(4):
        corpus = SimulatorCorpus(seed=seed, num_shops=4, test_pairs_per_shop=100)
        for shop in corpus.shops():
            refuse_tested(corpus.public_queries(400), shop)


def test_more_than_the_language_can_ask_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecc_fed.corpus.simulator.public._MOST_REPEATS", 3)
    with pytest.raises(CorpusError, match=r"language pack 'zh' has some \d+ public questions; ask for fewer"):
        opening_questions(0, 10**6)
    with pytest.raises(CorpusError, match="xx"):
        opening_questions(0, 3, "xx")
