"""What a job does not train stays as it is, bit for bit, on both engines, and both move the rest alike."""

from dataclasses import replace

import numpy as np
import pytest

from ecc_fed.core.aggregation import EVERYTHING, LORA_A, LORA_B, NOTHING, matches
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Example, FineTuneJob, FineTuneResult, FineTuneSettings, Turn
from ecc_fed.end_model.adapters.low_rank import Dora, Lora
from ecc_fed.end_model.training.record_privacy import RecordPrivacy

from ..drawing import lively
from ..opening import peft_engine, shared_engine
from ..tiny_models import save_base

REPLIES = ("亲，发顺丰", "在的", "可以退", "九块九")
EXAMPLES = tuple(Example((Turn("customer", "问" * (1 + i)),), reply) for i, reply in enumerate(REPLIES))
# A bound that clips, and a decay that would show on every tensor it reached.
SETTINGS = FineTuneSettings(
    steps=3, batch_size=2, learning_rate=1e-2, linear_decay=False, weight_decay=0.3, clipping_norm=0.05, epsilon=1e-3
)
LORA = Lora(rank=2, lora_alpha=8.0, lora_dropout=0.0)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_base(tmp_path_factory.mktemp("base"), "llama")


@pytest.fixture(scope="module")
def engines(base):
    return {"peft": peft_engine(base, LORA), "shared": shared_engine(base, LORA)}


def frozen(result: FineTuneResult, trained: tuple[str, ...]) -> list[str]:
    return [name for name in result.adapter if not matches(name, trained)]


def warm(engine, seed: int = 0) -> FineTuneJob:
    """A job that goes on from moments of its own."""
    job = FineTuneJob(lively(engine.shapes, seed), None, EXAMPLES, SETTINGS, 5 + seed)
    first = engine.fine_tune([job])[0]
    return replace(job, adapter=first.adapter, optimizer=first.optimizer)


@pytest.mark.parametrize("gradient", [None, RecordPrivacy(0.05, 0.7)], ids=["clipped", "private"])
@pytest.mark.parametrize("trained", [LORA_A, LORA_B], ids=["A", "B"])
def test_frozen_factors_and_their_moments_do_not_move_and_the_others_move_alike(engines, trained, gradient):
    job = replace(warm(engines["peft"]), trained=trained, gradient=gradient)
    results = {name: engine.fine_tune([job])[0] for name, engine in engines.items()}
    for result in results.values():
        names = frozen(result, trained)
        assert 0 < len(names) < len(result.adapter)
        for name in names:
            assert np.array_equal(result.adapter[name], job.adapter[name])
            for slot in ("m", "v"):
                assert np.array_equal(result.optimizer[f"{slot}.{name}"], job.optimizer[f"{slot}.{name}"])
                assert result.optimizer[f"m.{name}"].any(), "moments that would have moved it"
        assert all(
            not np.array_equal(result.adapter[name], job.adapter[name]) for name in result.adapter if name not in names
        )
        assert int(result.optimizer["step"]) == 6
    peft, shared = results["peft"], results["shared"]
    assert shared.losses == pytest.approx(peft.losses, abs=1e-4)
    for name in peft.adapter:
        np.testing.assert_allclose(shared.adapter[name], peft.adapter[name], atol=2e-5)
        for slot in ("m", "v"):
            key = f"{slot}.{name}"
            np.testing.assert_allclose(shared.optimizer[key], peft.optimizer[key], atol=2e-5)


def test_the_norm_that_is_clipped_is_that_of_the_trained_tensors_alone(engines):
    """With plain first moments (beta1 = 0) m is the clipped gradient: its norm is the bound."""
    settings = replace(SETTINGS, steps=1, betas=(0.0, 0.9), clipping_norm=1e-4)
    for engine in engines.values():
        job = FineTuneJob(lively(engine.shapes), None, EXAMPLES, settings, 1, trained=LORA_B)
        result = engine.fine_tune([job])[0]
        moments = [result.optimizer[f"m.{name}"] for name in result.adapter if matches(name, LORA_B)]
        norm = sum(float(np.sum(moment.astype(np.float64) ** 2)) for moment in moments) ** 0.5
        assert norm == pytest.approx(1e-4, rel=1e-2)


def test_what_one_shop_of_a_batch_freezes_is_nothing_to_the_others(engines):
    shared = engines["shared"]
    jobs = [replace(warm(shared, seed), trained=trained) for seed, trained in enumerate((LORA_A, EVERYTHING, LORA_B))]
    alone = [shared.fine_tune([job])[0] for job in jobs]
    for one, together in zip(alone, shared.fine_tune(jobs), strict=True):
        for name in one.adapter:
            np.testing.assert_allclose(together.adapter[name], one.adapter[name], atol=1e-6)


def test_after_a_frozen_job_the_engine_trains_everything_again(engines):
    for engine in engines.values():
        job = warm(engine)
        before = engine.fine_tune([job])[0]
        engine.fine_tune([replace(job, trained=LORA_A)])
        after = engine.fine_tune([job])[0]
        assert all(np.array_equal(after.adapter[name], before.adapter[name]) for name in before.adapter)


def test_magnitudes_of_dora_are_tensors_as_any(base):
    engine = peft_engine(base, Dora(rank=2, lora_alpha=8.0, lora_dropout=0.0))
    job = replace(warm(engine), trained=LORA_B)
    result = engine.fine_tune([job])[0]
    magnitudes = [name for name in result.adapter if name.endswith("lora_magnitude_vector")]
    assert magnitudes
    assert all(np.array_equal(result.adapter[name], job.adapter[name]) for name in magnitudes)


@pytest.mark.parametrize(("trained", "named"), [(("*.lora_C.*",), r"\*\.lora_C\.\*"), (NOTHING, "nothing")])
def test_a_job_that_would_move_nothing_is_refused(engines, trained, named):
    for engine in engines.values():
        job = FineTuneJob(lively(engine.shapes), None, EXAMPLES, SETTINGS, 1, trained=trained)
        with pytest.raises(ConfigError, match=f"fine-tuning of {named} fits no tensor of the adapter"):
            engine.fine_tune([job])
