"""Record-level privacy: Poisson draws, exact bounds, and the noise of its rule."""

import itertools

import numpy as np
import pytest
import torch

from ecc_fed.core.errors import ConfigError
from ecc_fed.end_model.training.gradients import weighted_sum
from ecc_fed.end_model.training.record_privacy import RecordPrivacy, poisson_batches, sampling_rate


def test_no_example_counts_more_than_the_bound():
    gradients = (
        torch.randn(5, 40, generator=torch.Generator().manual_seed(0)) * torch.tensor([1e-6, 0.1, 1, 10, 1e6])[:, None]
    )
    for row in gradients:
        assert weighted_sum(RecordPrivacy(0.5, 1.0), row[None]).norm() <= 0.5 * (1 + 1e-6)
    torch.testing.assert_close(weighted_sum(RecordPrivacy(1e9, 1.0), gradients[:2]), gradients[:2].sum(0))
    assert not weighted_sum(RecordPrivacy(1.0, 1.0), torch.zeros(2, 4)).any()
    assert weighted_sum(RecordPrivacy(1.0, 1.0), torch.zeros(0, 4)).tolist() == [0.0] * 4


def test_poisson_draws_have_their_rate_and_may_be_empty():
    draws = list(itertools.islice(RecordPrivacy(1.0, 1.0).batches(10, 3, 0), 4000))
    assert np.mean([len(draw) for draw in draws]) == pytest.approx(3, abs=0.1)
    # Binomial, not a fixed size: variance n q (1 - q).
    assert np.var([len(draw) for draw in draws]) == pytest.approx(2.1, abs=0.2)
    assert [] in draws
    assert next(poisson_batches(4, 9, 0)) == [0, 1, 2, 3]
    assert list(itertools.islice(poisson_batches(10, 3, 1), 20)) != draws[:20]


def test_the_sum_is_divided_by_the_mean_number_of_draws():
    rule = RecordPrivacy(0.5, 3.0)
    assert (sampling_rate(10, 3), sampling_rate(4, 9)) == (0.3, 1.0)
    assert (rule.divisor(10, 3), rule.divisor(4, 9)) == (3.0, 4.0)
    assert rule.per_example and rule.noise_deviation == 1.5


def test_settings_out_of_range_are_refused():
    for arguments, said in (
        ((0.0, 1.0), r"privacy\.clipping_norm=0\.0 is out of range: above 0"),
        ((1.0, -1.0), r"privacy\.noise_multiplier=-1\.0 is out of range: 0 or more"),
        ((float("nan"), 1.0), r"privacy\.clipping_norm=nan"),
        ((1.0, float("nan")), r"privacy\.noise_multiplier=nan"),
    ):
        with pytest.raises(ConfigError, match=said):
            RecordPrivacy(*arguments)
