from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Array, Judgement
from ecc_fed.judging.final_score import FinalScoreJudge, Thresholds

SCORES = st.floats(0, 1, width=32)


class _Table:
    """Scores by lookup, so that the judge's own arithmetic is all that is tested."""

    def __init__(self, scores: dict[tuple[str, str], float]) -> None:
        self.scores = scores

    def similarity(self, left: Sequence[str], right: Sequence[str]) -> Array:
        return np.array([self.scores[pair] for pair in zip(left, right, strict=True)], dtype=np.float32)

    def relevance(self, queries: Sequence[str], replies: Sequence[str]) -> Array:
        return self.similarity(queries, replies)


def test_judge_compares_the_clouds_relevance_with_the_floor() -> None:
    similarity = _Table({("e1", "c1"): 0.5, ("e2", "c2"): 0.7})
    relevance = _Table({("q1", "e1"): 0.9, ("q1", "c1"): 0.6, ("q2", "e2"): 0.0, ("q2", "c2"): 0.1})
    judge = FinalScoreJudge(similarity, relevance, Thresholds(accept_score=0.6))
    first, second = judge.judge(["q1", "q2"], ["e1", "e2"], ["c1", "c2"])
    assert (first.relevance, first.cloud_relevance) == pytest.approx((0.9, 0.6))
    assert (first.final_score, first.relevance_trusted, first.accepted) == (pytest.approx(0.58), True, False)
    assert (second.final_score, second.relevance_trusted, second.accepted) == (pytest.approx(0.7), False, True)
    assert judge.relevance(["q1"], ["e1"])[0] == pytest.approx(0.9)
    assert judge.judge([], [], []) == []


def _judged(score: float, **thresholds: float) -> Judgement:
    """A reply whose similarity, relevance and cloud relevance are all `score`."""
    table = _Table(dict.fromkeys([("e", "c"), ("q", "e"), ("q", "c")], score))
    return FinalScoreJudge(table, table, Thresholds(**thresholds)).judge(["q"], ["e"], ["c"])[0]


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.6, 0.8])
def test_a_score_at_its_threshold_passes_and_one_just_below_does_not(threshold: float) -> None:
    # The paper escalates "below" accept_score and distrusts relevance "below" Theta: equal is neither.
    at, below = float(np.float32(threshold)), float(np.nextafter(np.float32(threshold), np.float32(0)))
    assert _judged(at, score_alpha=1.0, accept_score=threshold).accepted
    assert not _judged(below, score_alpha=1.0, accept_score=threshold).accepted
    assert _judged(at, relevance_floor=threshold).relevance_trusted
    assert not _judged(below, relevance_floor=threshold).relevance_trusted


@given(SCORES, SCORES, SCORES, st.sampled_from([0.0, 0.2, 0.5, 1.0]))
def test_trust_and_score_change_at_the_same_theta(
    similarity: float, relevance: float, cloud: float, floor: float
) -> None:
    for value in (cloud, float(np.float32(floor))):
        table = _Table({("e", "c"): similarity, ("q", "e"): relevance, ("q", "c"): value})
        found = FinalScoreJudge(table, table, Thresholds(relevance_floor=floor)).judge(["q"], ["e"], ["c"])[0]
        mixed = 0.8 * similarity + 0.2 * relevance
        assert found.final_score == pytest.approx(mixed if found.relevance_trusted else similarity, abs=1e-6)
        assert found.relevance_trusted is (value >= float(np.float32(floor)))


@pytest.mark.parametrize("name", ["score_alpha", "relevance_floor", "accept_score"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_the_ends_of_the_unit_interval_are_allowed(name: str, value: float) -> None:
    assert getattr(Thresholds(**{name: value}), name) == value


def test_the_papers_numbers_are_the_defaults() -> None:
    judge = FinalScoreJudge(_Table({}), _Table({}))
    assert (judge.thresholds, judge.accept_score) == (Thresholds(0.8, 0.2, 0.6), 0.6)


@pytest.mark.parametrize("name", ["score_alpha", "relevance_floor", "accept_score"])
def test_numbers_outside_the_unit_interval_are_refused(name: str) -> None:
    for value in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigError, match=f"judge.{name}={value} is out of range: 0 to 1"):
            Thresholds(**{name: value})


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="1 queries, 2 replies, 1 cloud replies"):
        FinalScoreJudge(_Table({}), _Table({})).judge(["q"], ["a", "b"], ["c"])
