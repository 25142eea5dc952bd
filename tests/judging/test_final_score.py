from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Array
from ecc_fed.judging.final_score import FinalScoreJudge, final_score

SCORES = st.floats(0, 1, width=32)


def _score(similarity: float, relevance: float, cloud: float, alpha: float = 0.8, floor: float = 0.2) -> float:
    arrays = [np.array([value], dtype=np.float32) for value in (similarity, relevance, cloud)]
    return float(final_score(arrays[0], arrays[1], arrays[2], alpha, floor)[0])


def test_both_branches_by_hand() -> None:
    assert _score(0.5, 0.9, 0.7) == pytest.approx(0.8 * 0.5 + 0.2 * 0.9)  # 0.58
    assert _score(0.5, 0.9, 0.19) == pytest.approx(0.5)
    assert _score(0.5, 0.9, 0.2) == pytest.approx(0.58)  # Theta itself is trusted
    assert _score(0.25, 1.0, 1.0, alpha=0.5) == pytest.approx(0.625)


@given(SCORES, SCORES, SCORES)
def test_the_ends_of_alpha_and_theta(similarity: float, relevance: float, cloud: float) -> None:
    assert _score(similarity, relevance, cloud, alpha=1.0) == pytest.approx(similarity)
    assert _score(similarity, relevance, cloud, alpha=0.0, floor=0.0) == pytest.approx(relevance)
    score = _score(similarity, relevance, cloud)
    assert min(similarity, relevance) - 1e-6 <= score <= max(similarity, relevance) + 1e-6


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
    judge = FinalScoreJudge(similarity, relevance, accept_score=0.6)
    first, second = judge.judge(["q1", "q2"], ["e1", "e2"], ["c1", "c2"])
    assert (first.relevance, first.cloud_relevance) == pytest.approx((0.9, 0.6))
    assert (first.final_score, first.relevance_trusted, first.accepted) == (pytest.approx(0.58), True, False)
    assert (second.final_score, second.relevance_trusted, second.accepted) == (pytest.approx(0.7), False, True)
    assert judge.relevance(["q1"], ["e1"])[0] == pytest.approx(0.9)
    assert judge.judge([], [], []) == []


@pytest.mark.parametrize("name", ["score_alpha", "relevance_floor", "accept_score"])
def test_numbers_outside_the_unit_interval_are_refused(name: str) -> None:
    for value in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigError, match=f"judge.{name} is {value}: it must lie in 0..1"):
            FinalScoreJudge(_Table({}), _Table({}), **{name: value})


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="1 queries, 2 replies, 1 cloud replies"):
        FinalScoreJudge(_Table({}), _Table({})).judge(["q"], ["a", "b"], ["c"])
