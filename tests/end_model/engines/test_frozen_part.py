"""An adapter's frozen part is served beside its own pairs and never trained, on both engines and in the files."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from ecc_fed.core.errors import ModelError
from ecc_fed.core.frozen_part import frozen_part, frozen_rank, own_part, whole, with_frozen
from ecc_fed.core.records import Decoding, Example, FineTuneJob, FineTuneSettings, LikelihoodRequest, ReplyRequest, Turn
from ecc_fed.end_model.adapters.files import load_adapter, save_adapter
from ecc_fed.end_model.adapters.low_rank import Lora, RsLora
from ecc_fed.end_model.adapters.tensors import shapes_of_rank

from ..drawing import lively
from ..opening import peft_engine, shared_engine
from ..tiny_models import save_base

EXAMPLES = tuple(
    Example((Turn("customer", "问" * (1 + i)),), reply) for i, reply in enumerate(("发顺丰", "在的", "可以退"))
)
# A decay that would show on every tensor it reached.
SETTINGS = FineTuneSettings(steps=3, batch_size=2, learning_rate=1e-2, weight_decay=0.3, epsilon=1e-3)
LORA = Lora(2, 6.0, 0.0)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_base(tmp_path_factory.mktemp("base"), "llama")


@pytest.fixture(scope="module")
def engines(base):
    return {"peft": peft_engine(base, LORA), "shared": shared_engine(base, LORA)}


def adapter_with(engine, frozen: int, seed: int = 0):
    return lively(with_frozen(engine.shapes, frozen), seed)


def nats(engine, *adapters):
    found = engine.likelihood([LikelihoodRequest(adapter, EXAMPLES) for adapter in adapters])
    return [[each.nll_nats for each in request] for request in found]


def test_it_is_served_unscaled_beside_the_adapters_own(engines):
    """As one plain adapter of both ranks whose B's are in the scale of that rank."""
    for engine in engines.values():
        adapter = adapter_with(engine, 3)
        joined = whole(adapter, LORA.scale_at(2))
        plain = {
            n: t if ".lora_A." in n else t * np.float32(LORA.scale_at(2) / LORA.scale_at(5)) for n, t in joined.items()
        }
        of_all, of_plain, of_own = nats(engine, adapter, plain, own_part(adapter))
        np.testing.assert_allclose(of_all, of_plain, rtol=1e-5)
        assert not np.allclose(of_all, of_own, rtol=1e-4)
        request = ReplyRequest(adapter, (EXAMPLES[0].prompt,), Decoding(4, sample=False), 0)
        assert engine.reply([request]) == engine.reply([replace(request, adapter=plain)])


def test_both_engines_train_the_adapters_own_alike_and_leave_the_rest(engines):
    adapters = [adapter_with(engines["peft"], rank, rank) for rank in (3, 0, 1)]
    jobs = [FineTuneJob(adapter, None, EXAMPLES, SETTINGS, 3) for adapter in adapters]
    found = {}
    for name, engine in engines.items():
        first = engine.fine_tune(jobs)
        again = [replace(j, adapter=r.adapter, optimizer=r.optimizer) for j, r in zip(jobs, first, strict=True)]
        found[name] = engine.fine_tune(again)
        for start, result in zip(adapters, found[name], strict=True):
            assert result.adapter.keys() == start.keys()
            for tensor, kept in frozen_part(start).items():
                assert np.array_equal(result.adapter[tensor], kept)
            assert {slot[2:] for slot in result.optimizer if slot != "step"} == set(own_part(start))
            assert all(not np.array_equal(result.adapter[tensor], start[tensor]) for tensor in own_part(start))
    for one, other in zip(found["peft"], found["shared"], strict=True):
        assert other.losses == pytest.approx(one.losses, abs=1e-4)
        for name, tensor in one.adapter.items():
            np.testing.assert_allclose(other.adapter[name], tensor, atol=5e-5)


def test_training_sees_it(engines):
    for engine in engines.values():
        adapter = adapter_with(engine, 3)
        jobs = [FineTuneJob(each, None, EXAMPLES, SETTINGS, 3) for each in (adapter, own_part(adapter))]
        beside, alone = engine.fine_tune(jobs)
        assert abs(beside.losses[0] - alone.losses[0]) > 1e-4


def test_afterwards_other_adapters_and_the_bare_base_are_as_before(engines):
    for engine in engines.values():
        plain = lively(engine.shapes, 1)
        before = nats(engine, plain, None)
        engine.fine_tune([FineTuneJob(adapter_with(engine, 3), None, EXAMPLES, SETTINGS, 3)])
        nats(engine, adapter_with(engine, 3))
        assert nats(engine, plain, None) == before


def test_one_of_another_shape_is_refused(engines):
    for engine in engines.values():
        adapter = adapter_with(engine, 3)
        name = next(name for name in adapter if ".frozen_B." in name)
        for broken in (
            {**adapter, name: adapter[name][:, :2]},
            {each: tensor for each, tensor in adapter.items() if each != name},
        ):
            with pytest.raises(ModelError, match="frozen_B"):
                nats(engine, broken)


@pytest.mark.parametrize("kind", [Lora(2, 6.0, 0.0), RsLora(2, 6.0, 0.0)], ids=["lora", "rslora"])
@pytest.mark.parametrize("own", [2, 3])
def test_the_files_hold_one_plain_adapter_for_peft_and_give_both_parts_back(tmp_path, base, kind, own):
    engine = peft_engine(base, kind)
    adapter = lively(with_frozen(shapes_of_rank(engine.shapes, own), 3), 4)
    folder = tmp_path / "adapter"
    save_adapter(folder, adapter, kind, base)
    state, settings = load_adapter(folder)
    assert state.keys() == adapter.keys()
    assert all(np.array_equal(state[name], tensor) for name, tensor in adapter.items())
    assert (settings.rank, settings.scale) == (own, pytest.approx(kind.scale_at(own)))

    with torch.random.fork_rng():
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder).eval()
    ids = torch.tensor([[3, 4, 5, 6]])
    with torch.inference_mode(), engine._adapter(adapter):
        torch.testing.assert_close(model(ids).logits, engine.model(ids).logits, rtol=1e-4, atol=1e-5)

    save_adapter(folder, own_part(adapter), kind, base)
    state, _ = load_adapter(folder)
    assert frozen_rank(state) == 0
    assert all(np.array_equal(state[name], tensor) for name, tensor in own_part(adapter).items())


def test_a_part_of_another_adapter_is_refused(tmp_path, engines):
    wide, narrow = adapter_with(engines["peft"], 3), adapter_with(engines["peft"], 1)
    save_adapter(tmp_path / "wide", wide, LORA, "base")
    save_adapter(tmp_path / "narrow", narrow, LORA, "base")
    (tmp_path / "wide" / "frozen_part.safetensors").replace(tmp_path / "narrow" / "frozen_part.safetensors")
    with pytest.raises(ModelError, match=r"frozen_part\.safetensors is not of the adapter beside it; save it again"):
        load_adapter(tmp_path / "narrow")
