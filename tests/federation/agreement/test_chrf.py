"""chrF of each with each, against sacrebleu's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.chrf import CHRF

from ecc_fed.federation.agreement.chrf import pairwise_chrf

TEXTS = st.lists(st.text(alphabet="ab 亲包邮,\u3000", max_size=12), min_size=1, max_size=5)


@given(TEXTS)
def test_every_pair_is_what_sacrebleu_says(texts: list[str]) -> None:
    found, reference = pairwise_chrf(texts), CHRF(beta=1)
    for i, left in enumerate(texts):
        for j, right in enumerate(texts):
            # Its own rule for two texts without a character, of which it says nothing.
            expected = reference.sentence_score(left, [right]).score if left.strip() and right.strip() else 0.0
            assert found[i, j] == pytest.approx(expected, abs=1e-9)
    assert np.array_equal(found, found.T)


def test_a_text_is_wholly_like_itself_and_a_longer_one_wins_nothing_by_holding_it() -> None:
    found = pairwise_chrf(["发圆通", "发圆通发中通发韵达", "没货"])
    assert np.diag(found).tolist() == [100, 100, 100]
    assert found[0, 1] == found[1, 0] < 60
    assert found[0, 2] == 0
    assert pairwise_chrf([]).shape == (0, 0)
