"""Plain training as a gradient rule."""

import itertools

import pytest
import torch

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.gradient_rule import ClippedGradient, epoch_batches
from ecc_fed.core.seeding import derive_rng


def test_a_gradient_is_shortened_to_the_bound_and_never_lengthened():
    gradients = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]], dtype=torch.float64)
    clipped = gradients * ClippedGradient(2.5).factors(gradients.norm(dim=1))[:, None]
    torch.testing.assert_close(clipped[0], torch.tensor([1.5, 2.0], dtype=torch.float64), rtol=1e-6, atol=0)
    assert torch.equal(clipped[1:], gradients[1:])


def test_it_is_torchs_own_clipping_to_the_bit():
    gradients = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    for bound in (0.3, 1.0, 100.0):
        for gradient in gradients:
            parameter = torch.nn.Parameter(torch.zeros(50))
            parameter.grad = gradient.clone()
            torch.nn.utils.clip_grad_norm_([parameter], bound)
            assert torch.equal(parameter.grad, gradient * ClippedGradient(bound).factors(gradient.norm()))


def test_a_step_is_one_batch_without_noise_that_counts_once():
    rule = ClippedGradient()
    assert not rule.per_example
    assert (rule.clipping_norm, rule.noise_deviation, rule.divisor(7, 3)) == (1.0, 0.0, 1.0)


def test_every_epoch_takes_each_example_once_in_a_new_order():
    batches = list(itertools.islice(ClippedGradient().batches(7, 3, 5), 6))
    assert [len(batch) for batch in batches] == [3, 3, 1, 3, 3, 1]
    first, second = (list(itertools.chain(*batches[start : start + 3])) for start in (0, 3))
    assert sorted(first) == sorted(second) == list(range(7))
    assert first != second
    assert list(itertools.islice(epoch_batches(7, 3, 5), 6)) == batches
    assert list(itertools.islice(epoch_batches(7, 3, 6), 6)) != batches
    # Frozen: an epoch is a permutation from the stream "batches".
    stream = derive_rng(5, "batches")
    assert [first, second] == [stream.permutation(7).tolist() for _ in range(2)]


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan")])
def test_a_bound_that_is_not_above_0_is_refused(bound):
    with pytest.raises(ConfigError, match=rf"finetune\.clipping_norm={bound} is out of range: above 0"):
        ClippedGradient(bound)
