"""FedProx on both engines: against a plain torch loop, and what it must leave alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ecc_fed.core.aggregation import LORA_A, LORA_B, select
from ecc_fed.core.gradient_rule import epoch_batches
from ecc_fed.core.records import AdapterState, Example, FineTuneJob, FineTuneResult, FineTuneSettings, Turn
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.engines.reference.engine import PeftEngine
from ecc_fed.end_model.engines.reference.training import label_logits
from ecc_fed.end_model.training.examples import encode_example
from ecc_fed.end_model.training.record_privacy import RecordPrivacy

from ..drawing import lively
from ..opening import peft_engine, shared_engine
from ..tiny_models import save_base

REPLIES = ("亲，发顺丰", "在的", "可以退", "九块九")
EXAMPLES = tuple(Example((Turn("customer", "问" * (1 + i)),), reply) for i, reply in enumerate(REPLIES))
# A bound that clips; epsilon so large that a step follows the gradient's size.
SETTINGS = FineTuneSettings(
    steps=4, batch_size=2, learning_rate=1e-2, weight_decay=0.1, clipping_norm=0.05, epsilon=1e-3, prox_mu=0.3
)
PLAIN = replace(SETTINGS, prox_mu=0.0)


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    base = save_base(tmp_path_factory.mktemp("base"), "llama")
    lora = Lora(rank=2, lora_alpha=8.0, lora_dropout=0.0)
    return {"peft": peft_engine(base, lora), "shared": shared_engine(base, lora)}


def make_job(engine, settings: FineTuneSettings = SETTINGS, **changes) -> FineTuneJob:
    """It starts well away from its anchor, as a second cycle of a round does."""
    start, anchor = lively(engine.shapes, 1), lively(engine.shapes, 2)
    return replace(FineTuneJob(start, None, EXAMPLES, settings, 5, anchor=anchor), **changes)


def by_hand(engine: PeftEngine, job: FineTuneJob) -> dict[str, np.ndarray]:
    """Clipped cross entropy, then autograd on mu / 2 ||w - anchor||^2, then torch's AdamW."""
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
        for _ in range(chosen.steps):
            optimizer.zero_grad()
            logits, targets = label_logits(engine.model, [examples[i] for i in next(order)], engine.base.device)
            torch.nn.functional.cross_entropy(logits, targets).backward()
            torch.nn.utils.clip_grad_norm_(parameters.values(), chosen.clipping_norm)
            away = sum(((parameter - torch.tensor(job.anchor[n])) ** 2).sum() for n, parameter in parameters.items())
            (chosen.prox_mu / 2 * away).backward()
            optimizer.step()
        return {name: parameter.detach().numpy().copy() for name, parameter in parameters.items()}


def test_both_engines_equal_a_plain_loop(engines):
    expected = by_hand(engines["peft"], make_job(engines["peft"]))
    plain = by_hand(engines["peft"], make_job(engines["peft"], PLAIN))
    for engine in engines.values():
        result = engine.fine_tune([make_job(engine)])[0]
        for name, tensor in expected.items():
            np.testing.assert_allclose(result.adapter[name], tensor, atol=2e-5)
            assert np.abs(plain[name] - tensor).max() > 1e-3, "the pull must show"


def same(left: FineTuneResult, right: FineTuneResult, names: AdapterState | None = None) -> bool:
    return left.losses == right.losses and all(
        np.array_equal(left.adapter[name], right.adapter[name]) for name in names or left.adapter
    )


def test_without_mu_or_anchor_or_a_trained_anchor_it_is_plain_training_bit_for_bit(engines):
    for engine in engines.values():
        plain = engine.fine_tune([make_job(engine, PLAIN, anchor=None)])[0]
        assert same(engine.fine_tune([make_job(engine, PLAIN)])[0], plain)
        assert same(engine.fine_tune([make_job(engine, anchor=None)])[0], plain)
        assert same(engine.fine_tune([make_job(engine, anchor={})])[0], plain)
        frozen = make_job(engine, trained=LORA_B)
        only_b = engine.fine_tune([replace(frozen, anchor=None)])[0]
        assert same(engine.fine_tune([replace(frozen, anchor=select(frozen.anchor, LORA_A))])[0], only_b)


def test_only_the_tensors_of_the_anchor_are_pulled(engines):
    for engine in engines.values():
        job = make_job(engine, replace(SETTINGS, steps=1))
        partial = replace(job, anchor=select(job.anchor, LORA_A))
        pulled, plain = (engine.fine_tune([each])[0] for each in (partial, replace(job, anchor=None)))
        a, b = (select(plain.adapter, each) for each in (LORA_A, LORA_B))
        assert same(pulled, plain, b)
        assert not any(np.array_equal(pulled.adapter[name], plain.adapter[name]) for name in a)


def test_the_harder_the_pull_the_nearer_the_anchor(engines):
    for engine in engines.values():
        distances = []
        for mu in (0.0, 0.03, 0.3, 3.0):
            job = make_job(engine, replace(SETTINGS, steps=12, prox_mu=mu, weight_decay=0.0))
            end = engine.fine_tune([job])[0].adapter
            distances.append(sum(float(((end[name] - job.anchor[name]) ** 2).sum()) for name in end))
        assert distances == sorted(distances, reverse=True)


def test_the_pull_is_outside_of_what_bounds_examples_and_hides_them(engines):
    """Under a rule that lets nothing through, only the pull moves the adapter: down mu (w - anchor)."""
    settings = replace(SETTINGS, steps=1, betas=(0.0, 0.9), weight_decay=0.0)
    results = []
    for engine in engines.values():
        job = make_job(engine, settings, gradient=RecordPrivacy(1e-12, 0.0))
        result = engine.fine_tune([job])[0]
        for name in result.adapter:
            expected = 0.3 * (job.adapter[name] - job.anchor[name])
            np.testing.assert_allclose(result.optimizer[f"m.{name}"], expected, atol=1e-6)
        noisy = replace(job, gradient=RecordPrivacy(0.05, 0.7), settings=SETTINGS)
        results.append(engine.fine_tune([noisy])[0])
    for name in results[0].adapter:
        np.testing.assert_allclose(results[0].adapter[name], results[1].adapter[name], atol=2e-5)


def test_what_pulls_one_shop_of_a_batch_is_nothing_to_the_others(engines):
    shared = engines["shared"]
    jobs = [
        make_job(shared, anchor=None),
        make_job(shared),
        make_job(shared, PLAIN),
        make_job(shared, trained=LORA_B, seed=8),
        make_job(shared, anchor=select(make_job(shared).anchor, LORA_B)),
    ]
    alone = [shared.fine_tune([job])[0] for job in jobs]
    for one, together in zip(alone, shared.fine_tune(jobs), strict=True):
        for name in one.adapter:
            np.testing.assert_allclose(together.adapter[name], one.adapter[name], atol=1e-6)
