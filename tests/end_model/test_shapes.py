"""What a server without the base expects is what the engines make."""

import shutil
from pathlib import Path

import pytest

from ecc_fed.core.errors import ModelError
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.adapters.settings import METHODS, adapter_settings
from ecc_fed.end_model.engines.reference.shapes import adapter_shapes
from tests.end_model.opening import peft_engine, shared_engine
from tests.end_model.tiny_models import save_base


def shapes_of(engine) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, tensor.shape) for name, tensor in engine.new_adapter(0).items()]


@pytest.mark.parametrize("family", ["qwen2", "glm"])
def test_shapes_come_from_the_config_alone_in_the_engines_order(tmp_path: Path, family: str) -> None:
    path = save_base(tmp_path / "base", family)
    (tmp_path / "server").mkdir()
    shutil.copy(Path(path) / "config.json", tmp_path / "server")
    for method in METHODS:
        settings = adapter_settings(method)
        assert list(adapter_shapes(str(tmp_path / "server"), settings).items()) == shapes_of(
            peft_engine(path, settings)
        )
    settings = Lora(3, target_modules=["q_proj", "down_proj"])
    expected = list(adapter_shapes(str(tmp_path / "server"), settings).items())
    assert expected == shapes_of(shared_engine(path, settings)) == shapes_of(peft_engine(path, settings))


def test_a_config_that_cannot_be_read_or_a_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not tell what a lora adapter looks like"):
        adapter_shapes(str(tmp_path), Lora())
    path = save_base(tmp_path / "base", "llama")
    with pytest.raises(ModelError, match=r"does not tell what a lora adapter looks like .*needs its config\.json"):
        adapter_shapes(path, Lora(target_modules=["none_such"]))
