import json

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftConfig, PeftModel
from transformers import AutoModelForCausalLM

from ecc_fed.core.errors import ModelError
from ecc_fed.end_model.adapters.files import load_adapter, save_adapter
from ecc_fed.end_model.adapters.low_rank import Dora, Lora, RsLora
from ecc_fed.end_model.adapters.tensors import check_adapter, fresh_adapter
from ecc_fed.end_model.engines.reference.peft_words import peft_config

from ..opening import peft_engine


@pytest.fixture(scope="module")
def engine(bases):
    return peft_engine(bases["llama"], Lora(4))


def lively(engine, seed=0):
    generator = np.random.default_rng(seed)
    return {name: generator.normal(0, 0.1, shape).astype(np.float32) for name, shape in engine.shapes.items()}


def test_a_fresh_adapter_follows_its_seed_alone(engine):
    first = engine.new_adapter(0)
    torch.manual_seed(99)
    again, other = engine.new_adapter(0), engine.new_adapter(1)
    for name, array in first.items():
        assert array.dtype == np.float32 and np.array_equal(array, again[name])
        if "lora_B" in name:
            assert not array.any()
        else:
            assert not np.array_equal(array, other[name])
            assert np.abs(array).max() <= array.shape[1] ** -0.5
            # As peft's kaiming_uniform with a = sqrt(5): variance 1 / (3 d_in).
            assert array.var() * 3 * array.shape[1] == pytest.approx(1, abs=0.35)


def test_a_saved_adapter_opens_in_peft_with_the_same_logits(engine, llama, tmp_path):
    state = lively(engine)
    save_adapter(tmp_path / "adapter", state, engine.settings, llama)
    base = AutoModelForCausalLM.from_pretrained(llama)
    reopened = PeftModel.from_pretrained(base, tmp_path / "adapter")
    ids = torch.arange(4, 40)[None]
    with engine._adapter(state), torch.no_grad():
        expected = engine.model(input_ids=ids).logits
    with torch.no_grad():
        assert torch.equal(reopened(input_ids=ids).logits, expected)


@pytest.mark.parametrize(
    ("settings", "theirs"),
    [
        (Lora(2, 3.0, 0.2), {"r": 2, "lora_alpha": 3.0, "lora_dropout": 0.2}),
        (RsLora(), {"r": 8, "lora_alpha": 32.0, "lora_dropout": 0.1, "use_rslora": True}),
        (Dora(), {"r": 8, "lora_alpha": 32.0, "lora_dropout": 0.1, "use_dora": True}),
    ],
)
def test_peft_reads_the_config_as_its_own(settings, theirs, llama, tmp_path):
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    save_adapter(tmp_path / "adapter", {name: np.zeros((settings.rank, 2), np.float32)}, settings, llama)
    read = PeftConfig.from_pretrained(tmp_path / "adapter")
    place = {"base_model_name_or_path": llama, "inference_mode": True, "target_modules": ["q_proj"]}
    assert read == LoraConfig(task_type="CAUSAL_LM", **place, **theirs)
    assert peft_config(settings) == LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", **theirs)


def test_save_and_load_are_inverse_and_overwrite(engine, llama, tmp_path):
    for seed in (0, 1):
        state = lively(engine, seed)
        save_adapter(tmp_path / "adapter", state, engine.settings, llama)
        loaded, settings = load_adapter(tmp_path / "adapter")
        assert loaded.keys() == state.keys()
        assert all(np.array_equal(loaded[name], state[name]) for name in state)
        assert (settings.rank, settings.lora_alpha, settings.lora_dropout) == (4, 32.0, 0.1)
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_a_failed_write_leaves_nothing(engine, llama, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "ecc_fed.end_model.adapters.files.save_file", lambda *a, **k: (_ for _ in ()).throw(OSError("full"))
    )
    with pytest.raises(OSError, match="full"):
        save_adapter(tmp_path / "adapter", lively(engine), engine.settings, llama)
    assert list(tmp_path.iterdir()) == []


def test_broken_adapter_folders_are_refused(engine, llama, tmp_path):
    with pytest.raises(ModelError, match=r"adapter_config\.json"):
        load_adapter(tmp_path / "adapter")
    save_adapter(tmp_path / "adapter", lively(engine), engine.settings, llama)
    config = tmp_path / "adapter" / "adapter_config.json"
    written = json.loads(config.read_text())
    config.write_text(json.dumps(written | {"use_dora": True}))
    with pytest.raises(ModelError, match="no magnitude vectors"):
        load_adapter(tmp_path / "adapter")
    weights = tmp_path / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(ModelError, match="broken"):
        load_adapter(tmp_path / "adapter")


def test_adapters_of_another_shape_are_refused(engine):
    state = dict(lively(engine))
    name = next(iter(state))
    with pytest.raises(ModelError, match="has shape"):
        check_adapter(state | {name: state[name][:2]}, engine.shapes)
    with pytest.raises(ModelError, match="no place"):
        check_adapter(state | {"base_model.model.other.lora_A.weight": state[name]}, engine.shapes)
    del state[name]
    with pytest.raises(ModelError, match="lacks"):
        check_adapter(state, engine.shapes)


def test_seeds_of_adapters_include_zero():
    shapes = {"x.lora_A.weight": (2, 3)}
    assert not np.array_equal(fresh_adapter(shapes, 0)["x.lora_A.weight"], fresh_adapter(shapes, 1)["x.lora_A.weight"])
