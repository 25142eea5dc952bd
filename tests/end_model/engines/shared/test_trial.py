"""The step by which a host measures what memory fine-tuning takes."""

import pytest

from ecc_fed.core.records import Example, FineTuneJob, FineTuneSettings, Turn
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.engines.shared import training
from ecc_fed.end_model.engines.shared.compute_plan import GPU_PLAIN
from ecc_fed.end_model.engines.shared.trial import trial_examples
from ecc_fed.end_model.limits import TokenLimits
from ecc_fed.end_model.training.record_privacy import RecordPrivacy
from ecc_fed.hosts.pass_size import MeasuredPasses

from ...drawing import lively
from ...opening import peft_engine, shared_engine

EXAMPLES = (Example((Turn("customer", "问" * 3),), "答" * 2), Example((Turn("customer", "问"),), "答"))


@pytest.mark.parametrize(("shops", "tokens"), [(1, 256), (1, 768), (4, 256), (3, 200), (4, 9)])
@pytest.mark.parametrize("per_example", [False, True])
def test_a_trial_has_as_many_tokens_as_asked(shops, tokens, per_example):
    made = trial_examples(shops, tokens, per_example)
    sizes = [len(example.ids) for own in made for example in own]
    assert len(made) == shops and tokens - shops <= sum(sizes) <= tokens and min(sizes) > 1
    assert max(sizes) <= (16 if per_example else 64)


@pytest.mark.parametrize("gradient", [None, RecordPrivacy(0.5, 1.0)])
def test_a_trial_is_one_pass_over_all_shops(llama, monkeypatch, gradient):
    engine = shared_engine(llama, Lora(4), plan=GPU_PLAIN)
    state = lively(engine.shapes)
    before = {name: tensor.copy() for name, tensor in state.items()}
    passes, plain = [], training.pack_examples

    def noted(examples, sizes, rows, *rest):
        passes.append((sum(len(example.ids) for example in examples), len(set(rows))))
        return plain(examples, sizes, rows, *rest)

    monkeypatch.setattr(training, "pack_examples", noted)
    job = FineTuneJob(state, None, EXAMPLES, FineTuneSettings(steps=9, batch_size=3), 0, gradient=gradient)
    engine.trial_pass(job, 4, 256)
    assert passes == [(256, 4)]
    assert all((state[name] == before[name]).all() for name in state)
    assert engine.job_tokens(job) == sum(len(engine._encode(example).ids) for example in EXAMPLES)


def test_who_measures_passes(llama):
    measured = shared_engine(llama, Lora(4), plan=GPU_PLAIN)
    assert isinstance(measured, MeasuredPasses) and measured.measures_passes
    assert not shared_engine(llama, Lora(4)).measures_passes, "a CPU's passes are what they always were"
    assert not shared_engine(llama, Lora(4), plan=GPU_PLAIN, limits=TokenLimits(batch_tokens=99)).measures_passes
    assert not isinstance(peft_engine(llama), MeasuredPasses)


def test_measured_passes_hold_for_fine_tuning(llama, monkeypatch):
    engine, seen = shared_engine(llama, Lora(4)), []
    monkeypatch.setattr("ecc_fed.end_model.engines.shared.engine.train_batch", lambda *given: seen.append(given[-1]))
    monkeypatch.setattr("ecc_fed.end_model.engines.shared.engine.read_results", lambda bank, jobs: [None])
    job = FineTuneJob(lively(engine.shapes), None, EXAMPLES, FineTuneSettings(steps=1), 0)
    for tokens in (None, 2048):
        engine.training_tokens = tokens
        engine.fine_tune([job])
    engine.limits = TokenLimits(batch_tokens=77)
    engine.training_tokens = None
    engine.fine_tune([job])
    assert seen == [4096, 2048, 77]
