"""Gradient rules in both engines: per-example gradients from shared rows, noise, and a rule of a user's own."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from ecc_fed.core.gradient_rule import ClippedGradient, epoch_batches
from ecc_fed.core.records import Example, FineTuneJob, FineTuneSettings, Turn
from ecc_fed.core.seeding import derive_rng
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.engines.shared.active_adapters import ActiveAdapters
from ecc_fed.end_model.engines.shared.bank import load_rows
from ecc_fed.end_model.engines.shared.training import backward
from ecc_fed.end_model.training.examples import encode_example
from ecc_fed.end_model.training.gradients import JobGradients
from ecc_fed.end_model.training.record_privacy import RecordPrivacy, poisson_batches

from ..drawing import lively
from ..opening import peft_engine, shared_engine

EXAMPLES = tuple(Example((Turn("customer", "问" * (1 + i)),), "答" * (6 - i)) for i in range(6))


def job(shapes, seed=0, examples=EXAMPLES, adapter_seed=0, gradient=None, **settings):
    return FineTuneJob(lively(shapes, adapter_seed), None, examples, FineTuneSettings(**settings), seed, gradient)


def drawn_noise(shapes, seed, deviation):
    """A job's noise of its first step, tensor by tensor from the job's own stream."""
    generator = derive_rng(seed, "gaussian_noise")
    return {name: generator.standard_normal(shape) * deviation for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def engines(bases):
    return tuple(engine(bases["qwen2"], Lora(4, lora_dropout=0.0)) for engine in (peft_engine, shared_engine))


@pytest.fixture(params=["peft", "shared"])
def engine(request, engines):
    return engines[request.param == "shared"]


def test_noise_has_its_deviation_is_fresh_every_step_and_follows_the_seed():
    shapes = {"a": (200, 100), "b": (7,)}
    settings, rule = FineTuneSettings(steps=1), RecordPrivacy(clipping_norm=0.5, noise_multiplier=2.0)
    streams = [JobGradients(FineTuneJob({}, None, EXAMPLES, settings, seed, rule), shapes) for seed in (0, 0, 1)]
    first, again, other = (stream.noise() for stream in streams)
    assert first["a"].std() == pytest.approx(1.0, abs=0.02) and first["a"].mean() == pytest.approx(0, abs=0.02)
    assert {name: array.shape for name, array in first.items()} == shapes
    assert all(np.array_equal(first[name], again[name]) for name in shapes)
    assert not np.array_equal(first["a"], other["a"])
    assert not np.array_equal(first["a"], streams[0].noise()["a"])


def test_a_rule_without_noise_draws_none():
    for rule in (ClippedGradient(), RecordPrivacy(1.0, 0.0)):
        settings = FineTuneSettings(steps=1)
        assert JobGradients(FineTuneJob({}, None, EXAMPLES, settings, 0, rule), {"a": (2,)}).noise() is None


def test_per_example_gradients_equal_a_loop_of_single_examples(engines):
    peft, shared = engines
    states = [lively(peft.shapes, shop) for shop in range(2)]
    layout, base = shared.banks.layout(4), shared.packed_base
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


def test_private_training_is_equal_in_both_engines_and_beside_other_shops(engines):
    peft, shared = engines
    settings = {"steps": 4, "batch_size": 2, "learning_rate": 1e-2, "epsilon": 1e-4}
    privacy = RecordPrivacy(clipping_norm=0.2, noise_multiplier=0.7)
    jobs = [
        job(peft.shapes, 0, **settings, gradient=privacy),
        job(peft.shapes, 9, adapter_seed=9, **settings),
        job(peft.shapes, 3, adapter_seed=3, **settings, gradient=privacy),
    ]
    for own, one, other in zip(jobs, peft.fine_tune(jobs), shared.fine_tune(jobs), strict=True):
        assert other.losses == pytest.approx(one.losses, abs=1e-4) and len(other.losses) == 4
        assert one.label_tokens == other.label_tokens
        for name in own.adapter:
            assert np.abs(one.adapter[name] - other.adapter[name]).max() < 1e-4
            assert np.abs(one.adapter[name] - own.adapter[name]).max() > 1e-3


def test_jobs_that_differ_in_their_seed_alone_get_noise_of_their_own(engine):
    # Every example is drawn in every step, so that the noise alone can differ.
    settings = {"steps": 1, "batch_size": 99, "gradient": RecordPrivacy(1.0, 1.0)}
    one, same, other = engine.fine_tune([job(engine.shapes, seed, **settings) for seed in (4, 4, 5)])
    assert other.losses == pytest.approx(one.losses, abs=1e-6)
    for name in engine.shapes:
        np.testing.assert_allclose(same.adapter[name], one.adapter[name], atol=1e-6)
        assert np.abs(other.adapter[name] - one.adapter[name]).max() > 1e-4


def test_a_step_that_draws_nobody_takes_its_noise_divided_by_q_n(engine):
    seed = next(s for s in range(100) if next(poisson_batches(len(EXAMPLES), 2, s)) == [])
    privacy = RecordPrivacy(clipping_norm=0.5, noise_multiplier=3.0)
    own = job(engine.shapes, seed, steps=1, batch_size=2, learning_rate=1e-2, gradient=privacy)
    # Beside a shop that draws everybody.
    result = engine.fine_tune([job(engine.shapes, 1, steps=1, batch_size=99), own])[1]
    assert result.losses == (0.0,) and result.label_tokens == 0
    assert all(not np.array_equal(result.adapter[name], own.adapter[name]) for name in own.adapter)
    # q n = 2; after one step Adam's first moment is (1 - beta1) g.
    for name, noise in drawn_noise(engine.shapes, seed, 1.5).items():
        np.testing.assert_allclose(result.optimizer[f"m.{name}"], 0.1 * noise / 2, rtol=1e-4, atol=1e-7)


def test_noise_is_added_to_the_sum_before_it_is_divided(engine):
    settings = {"steps": 1, "batch_size": 4}
    noisy, silent = (
        engine.fine_tune([job(engine.shapes, 2, **settings, gradient=RecordPrivacy(0.5, multiplier))])[0]
        for multiplier in (3.0, 0.0)
    )
    for name, noise in drawn_noise(engine.shapes, 2, 1.5).items():
        added = (noisy.optimizer[f"m.{name}"] - silent.optimizer[f"m.{name}"]) / 0.1
        np.testing.assert_allclose(added, noise / 4, rtol=1e-3, atol=1e-5)


def test_nobodys_gradient_is_left_from_the_step_before(engine):
    draws = {s: list(itertools.islice(poisson_batches(len(EXAMPLES), 2, s), 2)) for s in range(100)}
    seed = next(s for s, (first, second) in draws.items() if first and not second)
    one, two = (
        job(engine.shapes, seed, steps=steps, batch_size=2, gradient=RecordPrivacy(1.0, 0.0)) for steps in (1, 2)
    )
    busy = job(engine.shapes, 1, steps=2, batch_size=99)
    after_one, after_two = engine.fine_tune([one])[0], engine.fine_tune([busy, two])[1]
    for name in engine.shapes:
        np.testing.assert_allclose(
            after_two.optimizer[f"m.{name}"], 0.9 * after_one.optimizer[f"m.{name}"], rtol=1e-4, atol=1e-8
        )


def test_without_noise_and_with_a_huge_bound_it_is_the_mean_of_the_examples_gradients(engine):
    # All examples of one length and every one drawn: the mean of means is the batch's own mean.
    examples = tuple(Example((Turn("customer", "问"),), text) for text in ("甲乙", "丙丁", "戊己"))
    settings = {"examples": examples, "steps": 2, "batch_size": 3, "epsilon": 1e-4}
    one, other = engine.fine_tune(
        [job(engine.shapes, 0, **settings, gradient=rule) for rule in (RecordPrivacy(1e9, 0.0), ClippedGradient(1e9))]
    )
    assert one.losses == pytest.approx(other.losses, abs=1e-5)
    for name in engine.shapes:
        assert np.abs(one.adapter[name] - other.adapter[name]).max() < 1e-5


@dataclass(frozen=True)
class EveryExampleAlike:
    """A rule of a user's own: the mean of the examples' directions, with a little noise."""

    per_example: bool = True
    noise_deviation: float = 0.1

    def batches(self, num_examples, batch_size, seed):
        return epoch_batches(num_examples, batch_size, seed)

    def factors(self, norms):
        return 1 / norms

    def divisor(self, num_examples, batch_size):
        return float(batch_size)


@dataclass(frozen=True)
class NoisyBatch(EveryExampleAlike):
    """Another: half of the batch's own gradient, and noise."""

    per_example: bool = False

    def factors(self, norms):
        return norms.new_full(norms.shape, 0.5)


def test_a_rule_of_a_users_own_is_a_class(engines):
    peft, shared = engines
    settings = {"steps": 3, "batch_size": 3, "learning_rate": 1e-2, "epsilon": 1e-3}
    rules = [EveryExampleAlike(), NoisyBatch(), ClippedGradient(), EveryExampleAlike(noise_deviation=0.0)]
    jobs = [job(peft.shapes, seed, **settings, gradient=rule) for seed, rule in enumerate(rules)]
    for one, other in zip(peft.fine_tune(jobs), shared.fine_tune(jobs), strict=True):
        assert other.losses == pytest.approx(one.losses, abs=1e-4)
        for name in peft.shapes:
            assert np.abs(one.adapter[name] - other.adapter[name]).max() < 1e-4
    # g = sum g_i / ||g_i|| / 3: three directions, so never longer than 1.
    silent = replace(jobs[3], settings=replace(jobs[3].settings, steps=1))
    for engine in engines:
        moments = [array for name, array in engine.fine_tune([silent])[0].optimizer.items() if name.startswith("m.")]
        length = np.sqrt(sum(float((array**2).sum()) for array in moments)) / 0.1
        assert 0.3 < length <= 1 + 1e-5
