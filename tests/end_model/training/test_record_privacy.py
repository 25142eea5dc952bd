"""Record-level privacy: per-example gradients from shared rows, Poisson draws, noise."""

import itertools

import numpy as np
import pytest
import torch

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Example, FineTuneJob, FineTuneSettings, RecordPrivacy, Turn
from ecc_fed.end_model.engines.reference.engine import PeftEngine
from ecc_fed.end_model.engines.shared.bank import load_rows
from ecc_fed.end_model.engines.shared.engine import SharedEngine
from ecc_fed.end_model.engines.shared.layers import ActiveAdapters
from ecc_fed.end_model.engines.shared.training import backward
from ecc_fed.end_model.training.finetune import encode_example
from ecc_fed.end_model.training.record_privacy import (
    GaussianNoise,
    clipped_sum,
    expected_batch,
    poisson_batches,
    sampling_rate,
)

EXAMPLES = tuple(Example((Turn("customer", "问" * (1 + i)),), "答" * (6 - i)) for i in range(6))


def lively(shapes, seed=0):
    generator = np.random.default_rng(seed)
    return {name: generator.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def engines(bases):
    return tuple(kind(bases["qwen2"], rank=4, lora_dropout=0.0, device="cpu") for kind in (PeftEngine, SharedEngine))


def test_per_example_gradients_equal_a_loop_of_single_examples(engines):
    peft, shared = engines
    states = [lively(peft.shapes, shop) for shop in range(2)]
    layout, base = shared._layout(4), shared.packed_base
    flat = load_rows(layout, states, base)
    scale = torch.full((2,), shared.settings.scale)
    encoded = [encode_example(shared.tokenizer, example, 256, 512) for example in EXAMPLES]
    shops = [0, 0, 0, 0, 1, 1]
    together = torch.empty(6, layout.size)
    losses = backward(base, ActiveAdapters(layout, flat, scale, together), [[one] for one in encoded], shops)
    for number, (shop, example) in enumerate(zip(shops, encoded, strict=True)):
        with peft._adapter(states[shop]):
            logits = peft.model(input_ids=torch.tensor([example.ids])).logits[0, example.prompt_length - 1 : -1]
            loss = torch.nn.functional.cross_entropy(logits, torch.tensor(example.ids[example.prompt_length :]))
            gradients = torch.autograd.grad(loss, list(peft.parameters.values()))
        assert losses[number] == pytest.approx(loss.item(), rel=1e-5)
        found = layout.read(together[number].numpy(), 4)
        for name, expected in zip(peft.parameters, gradients, strict=True):
            torch.testing.assert_close(torch.tensor(found[name]), expected, atol=1e-5, rtol=1e-3)


def test_no_example_counts_more_than_the_bound():
    gradients = (
        torch.randn(5, 40, generator=torch.Generator().manual_seed(0)) * torch.tensor([1e-6, 0.1, 1, 10, 1e6])[:, None]
    )
    for row in gradients:
        assert clipped_sum(row[None], 0.5).norm() <= 0.5 * (1 + 1e-6)
    torch.testing.assert_close(clipped_sum(gradients[:2], 1e9), gradients[:2].sum(0))
    assert not clipped_sum(torch.zeros(2, 4), 1.0).any()


def test_poisson_draws_have_their_rate_and_may_be_empty():
    draws = list(itertools.islice(poisson_batches(10, 3, 0), 4000))
    assert np.mean([len(draw) for draw in draws]) == pytest.approx(3, abs=0.1)
    # Binomial, not a fixed size: variance n q (1 - q).
    assert np.var([len(draw) for draw in draws]) == pytest.approx(2.1, abs=0.2)
    assert [] in draws
    assert next(poisson_batches(4, 9, 0)) == [0, 1, 2, 3]
    assert (sampling_rate(10, 3), expected_batch(10, 3), expected_batch(4, 9)) == (0.3, 3.0, 4.0)


def test_noise_has_deviation_sigma_c_and_is_fresh_every_step():
    noise = GaussianNoise(RecordPrivacy(clipping_norm=0.5, noise_multiplier=2.0), {"a": (200, 100), "b": (7,)}, 0)
    first, second = noise.draw(), noise.draw()
    assert first["a"].std() == pytest.approx(1.0, abs=0.02) and first["a"].mean() == pytest.approx(0, abs=0.02)
    assert not np.array_equal(first["a"], second["a"])


def test_private_training_is_equal_in_both_engines_and_beside_other_shops(engines):
    peft, shared = engines
    settings = FineTuneSettings(steps=4, batch_size=2, learning_rate=1e-2, epsilon=1e-4)
    privacy = RecordPrivacy(clipping_norm=0.2, noise_multiplier=0.7)
    private = [FineTuneJob(lively(peft.shapes, seed), None, EXAMPLES, settings, seed, privacy) for seed in (0, 3)]
    jobs = [private[0], FineTuneJob(lively(peft.shapes, 9), None, EXAMPLES, settings, 9), private[1]]
    for job, one, other in zip(jobs, peft.fine_tune(jobs), shared.fine_tune(jobs), strict=True):
        assert other.losses == pytest.approx(one.losses, abs=1e-4) and len(other.losses) == 4
        assert one.label_tokens == other.label_tokens
        for name in job.adapter:
            assert np.abs(one.adapter[name] - other.adapter[name]).max() < 1e-4
            assert np.abs(one.adapter[name] - job.adapter[name]).max() > 1e-3


def test_a_step_that_draws_nobody_adds_noise_all_the_same(engines):
    settings = FineTuneSettings(steps=1, batch_size=1, learning_rate=1e-2)
    seed = next(s for s in range(100) if next(poisson_batches(len(EXAMPLES), 1, s)) == [])
    for engine in engines:
        state = lively(engine.shapes)
        job = FineTuneJob(state, None, EXAMPLES, settings, seed, RecordPrivacy(1.0, 1.0))
        result = engine.fine_tune([job])[0]
        assert result.losses == (0.0,) and result.label_tokens == 0
        assert all(not np.array_equal(result.adapter[name], state[name]) for name in state)


def test_without_noise_and_with_a_huge_bound_it_is_the_mean_of_the_examples_gradients(engines):
    shared = engines[1]
    # All examples of one length and every one drawn: the mean of means is the batch's own mean.
    examples = tuple(Example((Turn("customer", "问"),), text) for text in ("甲乙", "丙丁", "戊己"))
    settings = FineTuneSettings(steps=2, batch_size=3, clipping_norm=1e9, epsilon=1e-4)
    state = lively(shared.shapes)
    private = FineTuneJob(state, None, examples, settings, 0, RecordPrivacy(1e9, 0.0))
    plain = FineTuneJob(state, None, examples, settings, 0)
    one, other = shared.fine_tune([private, plain])
    assert one.losses == pytest.approx(other.losses, abs=1e-5)
    for name in state:
        assert np.abs(one.adapter[name] - other.adapter[name]).max() < 1e-5


def test_settings_out_of_range_are_refused(engines):
    for privacy, said in (
        (RecordPrivacy(0.0, 1.0), "clipping_norm=0"),
        (RecordPrivacy(1.0, -1.0), "noise_multiplier=-1"),
    ):
        for engine in engines:
            job = FineTuneJob(engine.new_adapter(0), None, EXAMPLES, FineTuneSettings(steps=1), 0, privacy)
            with pytest.raises(ConfigError, match=said):
                engine.fine_tune([job])
