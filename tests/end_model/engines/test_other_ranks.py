"""Adapters of other ranks than the engine's own: both engines take them, each in the scale of its rank, alike."""

from dataclasses import replace

import numpy as np
import pytest

from ecc_fed.core.errors import ModelError
from ecc_fed.core.records import Decoding, Example, FineTuneJob, FineTuneSettings, LikelihoodRequest, ReplyRequest, Turn
from ecc_fed.end_model.adapters.files import load_adapter, save_adapter
from ecc_fed.end_model.adapters.low_rank import Lora, RsLora
from ecc_fed.end_model.adapters.tensors import of_rank, shapes_of_rank

from ..drawing import lively
from ..opening import peft_engine, shared_engine
from ..tiny_models import save_base

EXAMPLES = tuple(
    Example((Turn("customer", "问" * (1 + i)),), reply) for i, reply in enumerate(("发顺丰", "在的", "可以退"))
)
SETTINGS = FineTuneSettings(steps=3, batch_size=2, learning_rate=1e-2, epsilon=1e-3)
KINDS = {"lora": Lora(2, 8.0, 0.0), "rslora": RsLora(2, 8.0, 0.0)}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_base(tmp_path_factory.mktemp("base"), "llama")


@pytest.fixture(scope="module", params=KINDS)
def engines(base, request):
    kind = KINDS[request.param]
    return {"peft": peft_engine(base, kind), "shared": shared_engine(base, kind)}


def test_both_engines_serve_and_train_any_rank_alike(engines):
    shapes = engines["peft"].shapes
    adapters = [lively(shapes_of_rank(shapes, rank), rank) for rank in (1, 2, 5)]
    wanted = [LikelihoodRequest(adapter, EXAMPLES) for adapter in adapters]
    jobs = [FineTuneJob(adapter, None, EXAMPLES, SETTINGS, 3) for adapter in adapters]
    found = {}
    for name, engine in engines.items():
        nats = [[each.nll_nats for each in request] for request in engine.likelihood(wanted)]
        results = engine.fine_tune(jobs)
        # Once more, from its own moments: the rank stays.
        again = engine.fine_tune(
            [replace(j, adapter=r.adapter, optimizer=r.optimizer) for j, r in zip(jobs, results, strict=True)]
        )
        found[name] = nats, [result.adapter for result in again]
    np.testing.assert_allclose(found["shared"][0], found["peft"][0], rtol=1e-4)
    for start, one, other in zip(adapters, found["peft"][1], found["shared"][1], strict=True):
        for name, tensor in one.items():
            assert tensor.shape == start[name].shape
            np.testing.assert_allclose(other[name], tensor, atol=5e-5)


def test_zeros_beyond_a_rank_change_nothing_but_the_scale(engines):
    """B A of rank 1 in the scale of rank 1 is that of rank 4 with three rows of zeros, in the scale of rank 4."""
    for engine in engines.values():
        narrow = lively(shapes_of_rank(engine.shapes, 1), 7)
        factor = np.float32(engine.settings.scale_at(1) / engine.settings.scale_at(4))
        wide = {}
        for name, tensor in narrow.items():
            axis = 0 if ".lora_A." in name else 1
            padding = [(0, 3) if at == axis else (0, 0) for at in (0, 1)]
            wide[name] = np.pad(tensor if axis == 0 else factor * tensor, padding)
        one, other = engine.likelihood([LikelihoodRequest(each, EXAMPLES) for each in (narrow, wide)])
        np.testing.assert_allclose([each.nll_nats for each in one], [each.nll_nats for each in other], rtol=1e-5)
        request = ReplyRequest(narrow, (EXAMPLES[0].prompt,), Decoding(4, sample=False), 0)
        assert engine.reply([request]) == engine.reply([replace(request, adapter=wide)])


def test_after_another_rank_the_engine_is_as_it_was(engines):
    for engine in engines.values():
        own, wide = lively(engine.shapes, 1), lively(shapes_of_rank(engine.shapes, 4), 2)
        request = [LikelihoodRequest(own, EXAMPLES)]
        before = engine.likelihood(request)
        engine.likelihood([LikelihoodRequest(wide, EXAMPLES)])
        assert engine.likelihood(request) == before


def test_an_adapter_of_two_ranks_is_refused(engines):
    for engine in engines.values():
        adapter = lively(engine.shapes)
        last = list(adapter)[-1]
        adapter[last] = adapter[last][:, :1] if ".lora_B." in last else adapter[last][:1]
        with pytest.raises(ModelError, match="has shape"):
            engine.likelihood([LikelihoodRequest(adapter, EXAMPLES)])


def test_the_first_of_a_rank():
    adapter = {"x.lora_A.weight": np.arange(12.0).reshape(4, 3), "x.lora_B.weight": np.arange(8.0).reshape(2, 4)}
    first = of_rank(adapter, 2)
    assert np.array_equal(first["x.lora_A.weight"], adapter["x.lora_A.weight"][:2])
    assert np.array_equal(first["x.lora_B.weight"], [[0, 1], [4, 5]])
    assert of_rank(adapter, None) is adapter
    assert shapes_of_rank({name: each.shape for name, each in adapter.items()}, 2) == {
        name: each.shape for name, each in first.items()
    }


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_the_files_tell_the_adapters_own_rank_and_so_its_scale(tmp_path, kind):
    adapter = lively({"x.q_proj.lora_A.weight": (5, 3), "x.q_proj.lora_B.weight": (4, 5)})
    save_adapter(tmp_path / "adapter", adapter, kind, "base")
    state, settings = load_adapter(tmp_path / "adapter")
    assert all(np.array_equal(state[name], tensor) for name, tensor in adapter.items())
    assert settings.rank == 5
    assert settings.scale == pytest.approx(kind.scale_at(5))
