import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers.utils import logging as transformers_logging

from ecc_fed.core.errors import ModelError
from ecc_fed.models.opening import OpenedModel, open_model

CPU = torch.device("cpu")


def opened(folder: Path, auto_class: Any = AutoModelForCausalLM, **loading: Any) -> OpenedModel:
    return open_model(str(folder), auto_class, "end model", CPU, **loading)


def change_weights(folder: Path, name: str, weight: torch.Tensor | None) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    if weight is not None:
        tensors[name] = weight
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_model_is_frozen_whole_and_in_evaluation_mode(whole: Path) -> None:
    found = opened(whole, dtype=torch.bfloat16)
    assert not found.model.training and found.missing == ()
    assert {(p.requires_grad, p.dtype) for p in found.model.parameters()} == {(False, torch.bfloat16)}
    assert found.tokenizer.decode(found.tokenizer.encode("在吗", add_special_tokens=False)) == "在吗"
    found.require_weights()


def test_missing_weights_are_told_and_refused_where_they_matter(folder: Path) -> None:
    change_weights(folder, "model.layers.1.mlp.down_proj.weight", None)
    found = opened(folder)
    assert found.missing == ("model.layers.1.mlp.down_proj.weight",)
    with pytest.raises(ModelError, match=rf"^the end model {folder} lacks 1 weights .*down_proj.weight: take another$"):
        found.require_weights("take another")
    with pytest.raises(ModelError, match="copy the whole checkpoint"):
        found.require_weights(besides="pooler.")
    found.require_weights(besides="model.layers.1.mlp.")


def test_an_untrained_head_is_missing(whole: Path) -> None:
    assert opened(whole, AutoModelForSequenceClassification).missing == ("score.weight",)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    change_weights(folder, "model.layers.1.mlp.down_proj.weight", torch.zeros(32, 40))
    with pytest.raises(
        ModelError, match=r"has 1 weights of other shapes .*down_proj.weight of \(32, 40\) in place of \(32, 48\): "
    ):
        opened(folder)


def test_broken_files_are_refused(folder: Path) -> None:
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    for broken in (content[:1000], b""):
        weights.write_bytes(broken)
        with pytest.raises(ModelError, match=r"cannot be loaded as AutoModelForCausalLM \(.+\): .* be complete$"):
            opened(folder)
    weights.write_bytes(content)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be loaded"):
        opened(folder)


def test_another_kind_of_model_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "vit"}))
    with pytest.raises(ModelError, match="cannot be loaded as AutoModelForCausalLM"):
        opened(folder)


class Panic(BaseException):
    """As pyo3's, which tokenizers and safetensors raise."""


class Failing:
    """Raises as transformers or what it calls may; takes notes of how it was called."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.__name__ = "AutoModel"
        self.bars: bool | None = None

    def from_pretrained(self, folder: Path, **loading: Any) -> Any:
        self.bars = transformers_logging.is_progress_bar_enabled()
        self.loading = loading
        raise self.error


@pytest.mark.parametrize(
    "kind", [AttributeError, AssertionError, IndexError, TypeError, UnicodeDecodeError, Exception, Panic]
)
def test_whatever_is_raised_becomes_one_error(whole: Path, kind: type[BaseException]) -> None:
    error = UnicodeDecodeError("utf-8", b"x", 0, 1, "why") if kind is UnicodeDecodeError else kind("\n it is\nwhy")
    failing = Failing(error)
    with pytest.raises(
        ModelError, match=rf"^the end model {whole} cannot be loaded as AutoModel \(.*why\): "
    ) as raised:
        opened(whole, failing)
    assert raised.value.__cause__ is error
    assert failing.loading["trust_remote_code"] is False and failing.loading["local_files_only"] is True


def test_all_of_a_reason_is_told_on_one_line_and_not_at_length(whole: Path) -> None:
    with pytest.raises(ModelError, match=r"\(Validation error for field 'a': int wanted\)"):
        opened(whole, Failing(TypeError("Validation error for field 'a':\n    int wanted")))
    with pytest.raises(ModelError, match=r"\(KeyError: 'a'\)"):
        opened(whole, Failing(KeyError("a")))
    with pytest.raises(ModelError) as raised:
        opened(whole, Failing(ValueError("x" * 9999)))
    assert len(str(raised.value)) < 800


def test_an_error_without_words_is_named_by_its_kind(whole: Path) -> None:
    with pytest.raises(ModelError, match=r"\(AssertionError\)"):
        opened(whole, Failing(AssertionError()))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError("no room")])
def test_a_model_that_does_not_fit_has_another_remedy(whole: Path, error: Exception) -> None:
    with pytest.raises(ModelError, match="take a smaller or a quantized model"):
        opened(whole, Failing(error))


def test_an_interrupt_is_no_models_fault(whole: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        opened(whole, Failing(KeyboardInterrupt()))


def test_transformers_own_words_are_held_back_and_its_settings_put_back(whole: Path) -> None:
    transformers_logging.set_verbosity_info()
    transformers_logging.enable_progress_bar()
    try:
        failing = Failing(ValueError("x"))
        with pytest.raises(ModelError):
            opened(whole, failing)
        assert failing.bars is False
        assert transformers_logging.is_progress_bar_enabled()
        assert transformers_logging.get_verbosity() == transformers_logging.INFO
    finally:
        transformers_logging.set_verbosity_warning()


TOUCHING = "import pathlib\npathlib.Path({touched!r}).touch()\nfrom transformers import {base} as Mine\n"


def test_a_models_own_code_never_runs_nor_is_anyone_asked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touched = tmp_path / "touched"
    monkeypatch.setattr("builtins.input", lambda *given: touched.touch() or "y")
    for name, base in (("modeling", "LlamaForCausalLM"), ("configuration", "LlamaConfig"), ("tokens", "BertTokenizer")):
        (folder / f"{name}.py").write_text(TOUCHING.format(touched=str(touched), base=base))
    config = json.loads((folder / "config.json").read_text())
    own = {
        "AutoConfig": "configuration.Mine",
        "AutoModelForCausalLM": "modeling.Mine",
        "AutoTokenizer": ["tokens.Mine", None],
    }
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": own}))
    opened(folder).require_weights()  # a kind that transformers knows: its own class opens it
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": own, "model_type": "mine"}))
    with pytest.raises(ModelError, match="needs its own modelling code, which is never run here"):
        opened(folder)
    (folder / "config.json").write_text(json.dumps(config))
    tokens = json.loads((folder / "tokenizer_config.json").read_text())
    tokens |= {"auto_map": own, "tokenizer_class": "Mine"}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokens))
    with pytest.raises(ModelError, match="needs its own modelling code, which is never run here"):
        opened(folder)
    assert not touched.exists()


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_among_the_weights_runs_no_code(folder: Path, tmp_path: Path, legacy: bool) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
    opened(folder).require_weights()
    hostile = {**weights, "model.norm.weight": Touch(tmp_path / "touched")}
    torch.save(hostile, folder / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ModelError, match="cannot be loaded as AutoModelForCausalLM"):
        opened(folder)
    assert not (tmp_path / "touched").exists()
