"""Relevance counts where it tells something on a shop's own dialogues; a judge that cannot read scores nothing."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecc_fed.core.records import Array, Judgement, Pair, TeacherReply
from ecc_fed.core.rows import ShopRelevance
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.core.statistics import area_under_curve
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.evolution.evaluation import evaluate_pairs
from ecc_fed.evolution.loop import judge_replies, wants_reference
from ecc_fed.evolution.scoring import RELEVANCE_FILE, Scoring, measure_relevance, recorded_relevance
from ecc_fed.evolution.settings import Services
from tests.evolution.fakes import EchoGateway, PrefixJudge, pair, services, settings, shop, truth_of, write_adapter

BLIND = "the judge cannot read this"


class Numbered(PrefixJudge):
    """Relevance by a function of query and reply; remembers what it was asked."""

    def __init__(self, of: dict[str, float] | None = None) -> None:
        self.of, self.asked = of, list[tuple[str, str]]()

    def relevance(self, queries: Sequence[str], replies: Sequence[str]) -> Array:
        self.asked += zip(queries, replies, strict=True)
        if self.of is None:
            own = [
                query.removeprefix("q ") == reply.removeprefix("r ")
                for query, reply in zip(queries, replies, strict=True)
            ]
            return np.array(own, np.float32)
        return np.array([self.of[reply] for reply in replies], np.float32)


def history(count: int, sessions: int | None = None) -> list[Pair]:
    return [replace(pair("a", f"{i}", f"r {i}"), session_id=f"s{i % (sessions or count)}") for i in range(count)]


def test_an_area_is_the_share_of_pairs_in_the_right_order_ties_counting_half() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores, own = rng.integers(0, 5, 30).astype(np.float32), rng.random(30) < 0.4
        own[:2] = True, False
        brute = np.mean([(a > b) + 0.5 * (a == b) for a in scores[own] for b in scores[~own]])
        assert area_under_curve(scores, own) == pytest.approx(brute)


def test_replies_of_other_dialogues_are_what_it_is_measured_against() -> None:
    judge, pairs = Numbered(), history(30, sessions=10)
    found = measure_relevance(pairs, judge, 0.65, seed=3)
    assert found == ShopRelevance(1.0, 30, True)
    assert len(judge.asked) == 90, "one own reply and two others a query"
    session = {each.query: each.session_id for each in pairs}
    of_reply = {each.reply: each.session_id for each in pairs}
    own = [(query, reply) for query, reply in judge.asked if query[2:] == reply[2:]]
    others = [(query, reply) for query, reply in judge.asked if query[2:] != reply[2:]]
    assert len(own) == len(set(own)) == 30 and len(others) == len(set(others)) == 60
    assert all(session[query] != of_reply[reply] for query, reply in others)


def test_a_coin_is_left_out_and_a_bar_at_the_area_is_passed() -> None:
    even = Numbered({f"r {i}": 0.5 for i in range(20)})
    assert measure_relevance(history(20), even, 0.65, seed=0) == ShopRelevance(0.5, 20, False)
    assert measure_relevance(history(20), even, 0.5, seed=0).used


def test_the_last_bits_of_a_batch_decide_nothing() -> None:
    noisy = Numbered({f"r {i}": 0.5 + 1e-6 * i for i in range(20)})
    assert measure_relevance(history(20), noisy, 0.65, seed=0).auc == 0.5


def test_it_is_a_seeded_hundred_of_the_pairs_and_the_same_again() -> None:
    first, second, other = Numbered(), Numbered(), Numbered()
    found = measure_relevance(history(300), first, 0.65, seed=1)
    measure_relevance(history(300), second, 0.65, seed=1)
    measure_relevance(history(300), other, 0.65, seed=2)
    assert (found.pairs, len(first.asked)) == (100, 300)
    assert first.asked == second.asked != other.asked


@pytest.mark.parametrize(
    "pairs", [history(9), history(40, sessions=1), [replace(p, reply="r") for p in history(20)], []]
)
def test_too_few_pairs_measure_nothing_and_keep_relevance(pairs: list[Pair]) -> None:
    judge = Numbered()
    found = measure_relevance(pairs, judge, 0.65, seed=0)
    assert (found.auc, found.used, judge.asked) == (None, True, [])


def test_a_shop_measures_once_and_keeps_it(tmp_path: Path) -> None:
    judge = Numbered()
    scoring = Scoring(relevance_min_auc=0.65)
    scoring.look_up("a", history(20), tmp_path / "a", judge, 0)
    again = Scoring(relevance_min_auc=0.65)
    again.look_up("a", history(20), tmp_path / "a", judge, 0)
    assert len(judge.asked) == 60
    assert scoring.shops == again.shops == {"a": recorded_relevance(tmp_path / "a")}
    (tmp_path / "a" / RELEVANCE_FILE).write_text("{", encoding="utf-8")
    Scoring(relevance_min_auc=0.65).look_up("a", history(20), tmp_path / "a", judge, 0)
    assert recorded_relevance(tmp_path / "a") == scoring.shops["a"], "what cannot be read is measured again"


@pytest.mark.parametrize("scoring", [Scoring(BLIND, 0.65), Scoring(None, 0.0)])
def test_nothing_is_measured_where_it_would_decide_nothing(scoring: Scoring, tmp_path: Path) -> None:
    judge = Numbered()
    scoring.look_up("a", history(20), tmp_path / "a", judge, 0)
    assert (judge.asked, scoring.shops, list(tmp_path.iterdir())) == ([], {}, [])


class Mixed(PrefixJudge):
    """Similar to the cloud's, and beside the point."""

    def judge(self, queries: Sequence[str], replies: Sequence[str], cloud_replies: Sequence[str]) -> list[Judgement]:
        return [Judgement(0.7, 0.0, 0.9, 0.4, True, False) for _ in queries]


def test_a_shop_that_leaves_relevance_out_is_judged_by_similarity_alone() -> None:
    left_out = Scoring(shops={"a": ShopRelevance(0.5, 20, False), "b": ShopRelevance(0.9, 20, True)})
    given = replace(services(), judge=Mixed(), scoring=left_out)
    answer = TeacherReply("cloud", "ok", "echo-1")
    a, b, c = judge_replies([pair(name, "0") for name in "abc"], ["r"] * 3, [answer] * 3, given)
    assert a == Judgement(0.7, 0.0, 0.9, 0.7, False, True)
    assert b == c == Judgement(0.7, 0.0, 0.9, 0.4, True, False)


def blind(verdict: bool | None = None) -> Services:
    return replace(services(verdict=verdict), scoring=Scoring(BLIND, 0.65))


@pytest.mark.parametrize("reference", ["always", "sampled", "gated", "routed"])
def test_a_blind_judge_scores_nothing_and_asks_for_nothing(reference: str) -> None:
    given, pairs = blind(), shop().stream
    loop = settings(reference=reference, reference_rate=1.0, gate_relevance=1.0, explore_rate=1.0)
    assert not any(wants_reference(pairs, [""] * 8, [None] * 8, loop.evolution, given, np.random.default_rng(0)))
    assert judge_replies(pairs, ["good"] * 8, [TeacherReply("cloud", "ok", "e")] * 8, given) == [None] * 8


def _devices(given: Services, folder: Path) -> ShopDevices:
    shops = [shop(num_history=12)]
    return ShopDevices(shops, truth_of(shops), given, settings(), RunDirectory(folder), write_adapter, 0)


def test_a_blind_run_trains_on_its_own_dialogues_and_pays_for_no_score(tmp_path: Path) -> None:
    given = blind()
    devices = _devices(given, tmp_path)
    devices.evaluate("shop_0", 0, None, "base")
    devices.train("shop_0", 1, None)
    devices.evaluate("shop_0", 1, None, "final")
    assert isinstance(given.gateway, EchoGateway)
    assert given.gateway.requests == []
    assert not (RunDirectory(tmp_path).shop("shop_0") / RELEVANCE_FILE).exists()


def test_an_unhappy_customer_of_a_blind_run_still_gets_the_clouds_answer(tmp_path: Path) -> None:
    given = blind(verdict=False)
    _devices(given, tmp_path).train("shop_0", 1, None)
    assert isinstance(given.gateway, EchoGateway)
    assert len(given.gateway.requests) == 4, "half of the stream"


def test_a_blind_evaluation_has_no_scores_and_the_human_replies_all_the_same() -> None:
    one = shop()
    rows = evaluate_pairs(
        one.test, None, "final", 1, one.history, truth_of([one])["shop_0"], settings(), blind(), 0
    ).rows
    assert {row.phase for row in rows} == {"final", "human"}, "no teacher; all replies are one text, so no other"
    assert all(row.final_score is row.similarity is row.accepted is row.cloud_reply is None for row in rows)


def test_a_device_measures_on_its_history_and_judges_by_it_in_rounds_and_evaluation(tmp_path: Path) -> None:
    judge = Numbered({"发圆通": 0.5, "r": 0.5})
    given = replace(services(), judge=judge, scoring=Scoring(relevance_min_auc=0.65))
    one = shop(num_history=12)
    replies = ("发圆通", "r") * 6
    varied = replace(one, history=tuple(replace(p, reply=r) for p, r in zip(one.history, replies, strict=True)))
    devices = ShopDevices([varied], {}, given, settings(), RunDirectory(tmp_path), write_adapter, 0)
    devices.evaluate("shop_0", 0, None, "base")
    asked = len(judge.asked)
    assert {query for query, _ in judge.asked} == {each.query for each in varied.history}
    devices.train("shop_0", 1, None)
    assert len(judge.asked) == asked
    assert given.scoring.shops == {"shop_0": ShopRelevance(0.5, 12, False)}
    assert given.scoring.of_shop("shop_0", Judgement(0.2, 1, 1, 0.6, True, True), 0.5).accepted is False
