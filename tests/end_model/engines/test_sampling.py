import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import TemperatureLogitsWarper, TopPLogitsWarper

from ecc_fed.core.records import Decoding
from ecc_fed.end_model.engines.batching import split_by_length
from ecc_fed.end_model.engines.sampling import make_rows, nucleus_sample


@pytest.mark.parametrize("vocabulary", [40, 700])
def test_frequencies_equal_transformers_nucleus(vocabulary):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, vocabulary, generator=generator)
    warped = TopPLogitsWarper(0.8)(None, TemperatureLogitsWarper(0.6)(None, logits))
    expected = torch.softmax(warped, -1)[0]
    draws = 20000
    # Evenly spaced uniforms: the share of each token is its probability, to within one draw.
    uniforms = (torch.arange(draws) + 0.5) / draws
    ids = nucleus_sample(logits.expand(draws, -1), torch.full((draws,), 0.6), torch.full((draws,), 0.8), uniforms)
    shares = torch.bincount(ids, minlength=vocabulary) / draws
    assert (shares - expected).abs().max() < 2 / draws + 1e-4


@given(st.integers(0, 10_000), st.floats(0.05, 1.0), st.floats(0.1, 3.0))
@settings(max_examples=30, deadline=None)
def test_a_row_draws_the_same_alone(seed, top_p, temperature):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(5, 400, generator=generator) * 2
    uniforms = torch.rand(5, generator=generator)
    shape = torch.full((5,), top_p), torch.full((5,), temperature)
    together = nucleus_sample(logits, shape[1], shape[0], uniforms)
    for row in range(5):
        one = slice(row, row + 1)
        alone = nucleus_sample(logits[one], shape[1][one], shape[0][one], uniforms[one])
        assert alone.item() == together[row].item()


def test_a_tiny_nucleus_is_greedy():
    logits = torch.randn(6, 300, generator=torch.Generator().manual_seed(3))
    ids = nucleus_sample(logits, torch.ones(6), torch.full((6,), 1e-6), torch.full((6,), 1 - 2**-24))
    assert ids.tolist() == logits.argmax(-1).tolist()


def test_rows_draw_from_their_own_streams():
    first = make_rows([[1], [1, 2]], Decoding(max_new_tokens=4), seed=0)
    again = make_rows([[1], [1, 2], [3]], Decoding(max_new_tokens=4), seed=0)
    assert np.array_equal(first[1].uniforms, again[1].uniforms)
    assert not np.array_equal(first[0].uniforms, first[1].uniforms)


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 120))
def test_batches_hold_every_row_once_within_budget(costs, budget):
    batches = split_by_length(costs, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(costs)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(costs[index] for index in batch) <= budget
