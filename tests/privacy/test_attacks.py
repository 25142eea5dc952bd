"""Attacks' scores by hand: what a secret, a member, and a control get."""

import math

import numpy as np
import pytest

from ecc_fed.core.statistics import true_positive_rate
from ecc_fed.privacy.attacks.exposure import exposure_bits
from ecc_fed.privacy.attacks.membership import loss_score, min_k_score, ratio_score


def test_a_secret_likelier_than_all_others_has_all_bits_and_the_least_likely_none() -> None:
    others = list(range(10, 1033))
    assert exposure_bits(9.0, others) == 10.0
    assert exposure_bits(5000.0, others) == 0.0
    assert exposure_bits(10.5, others) == 9.0, "second of 1,024"


def test_a_secret_that_nobody_learned_has_one_bit_and_a_half_in_the_mean() -> None:
    rng = np.random.default_rng(0)
    bits = [exposure_bits(values[0], values[1:]) for values in rng.normal(size=(4000, 256))]
    # E[log2 n - log2 U] with U uniform on 1..n tends to log2 e.
    assert np.mean(bits) == pytest.approx(math.log2(math.e), abs=0.08)


def test_ties_say_nothing() -> None:
    assert exposure_bits(1.0, [1.0] * 7) == pytest.approx(math.log2(8 / 4.5))


def test_scores_are_by_token_and_the_ratio_forgets_what_is_easy_anyway() -> None:
    assert loss_score([6.0, 2.0], [3, 4]).tolist() == [-2.0, -0.5]
    assert ratio_score([6.0, 2.0], [9.0, 2.0], [3, 4]).tolist() == [1.0, 0.0]
    assert loss_score([1.0], [0]).tolist() == [-1.0], "an empty reply divides by nothing"


def test_min_k_goes_by_the_least_likely_tokens() -> None:
    nats = [[5.0, 1.0, 3.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0], [1.0, 4.0]]
    assert min_k_score(nats).tolist() == [-4.0, -4.0], "two of ten; one at least"
    assert min_k_score(nats, share=1.0).tolist() == loss_score([11.0, 5.0], [10, 2]).tolist()
    with pytest.raises(ValueError, match="the end model told none"):
        min_k_score([[1.0], []])


def test_the_rate_counts_members_above_what_one_percent_of_the_others_reach() -> None:
    others, members = list(range(200)), [300, 299, 198.5, 197.5, -1]
    scores, meant = [*members, *others], [True] * 5 + [False] * 200
    # Two of two hundred may be accused: 199 and 198. The threshold is 197.
    assert true_positive_rate(scores, meant, 0.01) == pytest.approx(4 / 5)
    assert true_positive_rate(scores, meant, 0.0) == pytest.approx(2 / 5)
    assert true_positive_rate(others, [False] * 200, 0.01) is None
    assert true_positive_rate([1.0, 1.0, 1.0], [True, False, False], 0.01) == 0.0, "equal is not above"


def test_a_rate_by_brute_force() -> None:
    rng = np.random.default_rng(3)
    scores, meant = rng.normal(size=500), rng.random(500) < 0.4
    scores[meant] += 1.0
    best = max(
        float((scores[meant] > threshold).mean())
        for threshold in scores
        if float((scores[~meant] > threshold).mean()) <= 0.05
    )
    assert true_positive_rate(scores, meant, 0.05) == pytest.approx(best)
