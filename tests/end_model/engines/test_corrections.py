"""SCAFFOLD's correction on both engines: against a plain torch loop, and the mean gradient that they tell."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ecc_fed.core.aggregation import LORA_B, select
from ecc_fed.core.gradient_rule import epoch_batches
from ecc_fed.core.records import Example, FineTuneJob, FineTuneSettings, Turn
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.engines.reference.engine import PeftEngine
from ecc_fed.end_model.engines.reference.training import label_logits
from ecc_fed.end_model.training.examples import encode_example

from ..drawing import lively
from ..opening import peft_engine, shared_engine
from ..tiny_models import save_base

REPLIES = ("亲，发顺丰", "在的", "可以退", "九块九")
EXAMPLES = tuple(Example((Turn("customer", "问" * (1 + i)),), reply) for i, reply in enumerate(REPLIES))
# A bound that clips; epsilon so large that a step follows the gradient's size.
SETTINGS = FineTuneSettings(
    steps=4, batch_size=2, learning_rate=1e-2, weight_decay=0.1, clipping_norm=0.05, epsilon=1e-3, prox_mu=0.3
)


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    base = save_base(tmp_path_factory.mktemp("base"), "llama")
    lora = Lora(rank=2, lora_alpha=8.0, lora_dropout=0.0)
    return {"peft": peft_engine(base, lora), "shared": shared_engine(base, lora)}


def make_job(engine, **changes) -> FineTuneJob:
    correction = {name: 0.02 * tensor for name, tensor in lively(engine.shapes, 3).items()}
    job = FineTuneJob(lively(engine.shapes, 1), None, EXAMPLES, SETTINGS, 5, anchor=lively(engine.shapes, 2))
    return replace(job, **{"correction": correction, **changes})


def by_hand(engine: PeftEngine, job: FineTuneJob) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Clipped cross entropy, then the correction and FedProx's pull, then torch's AdamW; and the clipped mean."""
    chosen = job.settings
    with engine._adapter(job.adapter):
        parameters = engine.parameters
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        optimizer = torch.optim.AdamW(
            parameters.values(), chosen.learning_rate, chosen.betas, chosen.epsilon, chosen.weight_decay
        )
        examples = [encode_example(engine.tokenizer, one, 256, 512) for one in job.examples]
        order = epoch_batches(len(examples), chosen.batch_size, job.seed)
        total = {name: np.zeros(parameter.shape) for name, parameter in parameters.items()}
        for _ in range(chosen.steps):
            optimizer.zero_grad()
            logits, targets = label_logits(engine.model, [examples[i] for i in next(order)], engine.base.device)
            torch.nn.functional.cross_entropy(logits, targets).backward()
            torch.nn.utils.clip_grad_norm_(parameters.values(), chosen.clipping_norm)
            for name, parameter in parameters.items():
                total[name] += parameter.grad.double().numpy()
                pull = chosen.prox_mu * (parameter.detach() - torch.tensor(job.anchor[name]))
                parameter.grad += torch.tensor(job.correction[name]) + pull
            optimizer.step()
        end = {name: parameter.detach().numpy().copy() for name, parameter in parameters.items()}
        return end, {name: each / chosen.steps for name, each in total.items()}


def test_both_engines_equal_a_plain_loop_and_tell_the_mean_of_its_gradients(engines):
    job = make_job(engines["peft"])
    end, mean = by_hand(engines["peft"], job)
    for engine in engines.values():
        result = engine.fine_tune([make_job(engine)])[0]
        plain = engine.fine_tune([make_job(engine, correction=None)])[0]
        assert plain.gradient is None
        for name, tensor in end.items():
            np.testing.assert_allclose(result.adapter[name], tensor, atol=2e-5)
            np.testing.assert_allclose(result.gradient[name], mean[name], atol=1e-6)
            assert np.abs(plain.adapter[name] - tensor).max() > 1e-3, "the correction must show"


def test_a_correction_of_nothing_is_plain_training_bit_for_bit(engines):
    for engine in engines.values():
        plain = engine.fine_tune([make_job(engine, correction=None)])[0]
        zeros = {name: np.zeros(shape, np.float32) for name, shape in engine.shapes.items()}
        for nothing in ({}, zeros):
            result = engine.fine_tune([make_job(engine, correction=nothing)])[0]
            assert result.losses == plain.losses
            assert all(np.array_equal(result.adapter[name], plain.adapter[name]) for name in plain.adapter)
            assert set(result.gradient) == set(engine.shapes)


def test_what_does_not_train_is_neither_corrected_nor_told(engines):
    for engine in engines.values():
        job = make_job(engine, trained=LORA_B)
        only_b = engine.fine_tune([replace(job, correction=select(job.correction, LORA_B))])[0]
        result = engine.fine_tune([job])[0]
        assert all(np.array_equal(result.adapter[name], only_b.adapter[name]) for name in only_b.adapter)
        assert set(result.gradient) == set(select(job.adapter, LORA_B))


def test_what_corrects_one_shop_of_a_batch_is_nothing_to_the_others(engines):
    shared = engines["shared"]
    short = replace(SETTINGS, steps=2)
    jobs = [
        make_job(shared, correction=None),
        make_job(shared, settings=short),
        make_job(shared, correction={}),
        make_job(shared, trained=LORA_B, seed=8),
    ]
    alone = [shared.fine_tune([job])[0] for job in jobs]
    for one, together in zip(alone, shared.fine_tune(jobs), strict=True):
        assert (one.gradient is None) == (together.gradient is None)
        for name in one.adapter:
            np.testing.assert_allclose(together.adapter[name], one.adapter[name], atol=1e-6)
        for name in one.gradient or {}:
            np.testing.assert_allclose(together.gradient[name], one.gradient[name], atol=1e-6)
