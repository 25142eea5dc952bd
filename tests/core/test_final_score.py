"""Eq. (1) by hand and at its ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.core.final_score import final_score

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


def test_scores_of_many_pairs_stand_in_their_places() -> None:
    similarity, relevance, cloud = (
        np.array(v, np.float32) for v in ([0.5, 0.5, 0.1], [0.9, 0.9, 1.0], [0.7, 0.1, 0.3])
    )
    scores = final_score(similarity, relevance, cloud, 0.8, 0.2)
    assert scores.dtype == np.float32 and scores.shape == (3,)
    np.testing.assert_allclose(scores, [0.58, 0.5, 0.28], rtol=1e-6)
