"""Opens a checkpoint of a common kind without transformers' model classes, which take seconds to import.

Only one that is in every way as expected. Whatever is odd, missing or broken is left to `open_model`, which knows more
kinds and says what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ecc_fed.core.errors import ModelError
from ecc_fed.models.folder import check_folder
from ecc_fed.models.opening import OpenedModel, quiet, refusing

# What a checkpoint's tokenizer is called that is a tokenizer.json and no more: in transformers 5, and before.
_TOKENIZERS = ("TokenizersBackend", "PreTrainedTokenizerFast")


class Unusual(Exception):
    """Why a checkpoint is none of the plain kinds."""


class PlainConfig(SimpleNamespace):
    """The entries of a config.json, as attributes."""

    def get_text_config(self, decoder: bool = False) -> PlainConfig:
        """As transformers' configs have it: a plain model is one of text alone."""
        return self

    def expect(self, **values: Any) -> None:
        """Raises Unusual where an entry is missing or another."""
        for name, value in values.items():
            if getattr(self, name, None) != value:
                raise Unusual(f"{name} is not {value}")


def table(rows: int, width: int) -> torch.nn.Embedding:
    """An embedding that draws no numbers to begin with: on the device "meta" that would import torch's compiler."""
    kind: Any = torch.nn.Embedding
    made: torch.nn.Embedding = kind.from_pretrained(torch.empty(rows, width))
    return made


def open_plain(
    path: str,
    build: Callable[[PlainConfig], torch.nn.Module],
    role: str,
    device: torch.device,
    dtype: torch.dtype,
    may_miss: str | None = None,
) -> OpenedModel | None:
    """The model at `path`, frozen and in evaluation mode, as `open_model` gives it; None where it is not plain.

    Args:
        path: a folder; anything else is not plain.
        build: makes the module, whose parameters are named as the checkpoint's; raises Unusual, or KeyError or
            AttributeError for an entry that config.json lacks.
        role: what the model is for, such as "end model"; for messages.
        device: where it runs.
        dtype: of its weights.
        may_miss: a submodule that the checkpoint may lack, which is None then.

    Raises:
        ModelError: a folder that `open_model` would refuse before it reads weights.
    """
    folder = Path(path).expanduser()
    if not path.strip() or not folder.is_dir():
        return None
    check_folder(folder, role)
    try:
        config = PlainConfig(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
        tokenizer = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        if tokenizer["tokenizer_class"] not in _TOKENIZERS or "auto_map" in tokenizer:
            raise Unusual("a tokenizer of its own")
        with torch.device("meta"):
            model = build(config)
        weights = _read(folder / "model.safetensors", model, device, dtype)
        missing = tuple(sorted(set(model.state_dict()) - set(weights)))
        if missing:
            if may_miss is None or not all(name.startswith(f"{may_miss}.") for name in missing):
                raise Unusual(f"it lacks {missing[0]}")
            setattr(model, may_miss, None)
        model.load_state_dict(weights, assign=True)
        with refusing(role, folder, "has a tokenizer that cannot be read", "copy it again"):
            opened = _tokenizer(folder)
    except (Unusual, ModelError, OSError, ValueError, TypeError, LookupError, AttributeError, SafetensorError):
        return None
    return OpenedModel(model.eval().requires_grad_(False), opened, device, role, path, missing)


def _read(file: Path, model: torch.nn.Module, device: torch.device, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """All tensors of a file, each of which the model has in that shape."""
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    with safe_open(file, "pt") as content:
        for name in content.keys():  # noqa: SIM118  # it is no mapping
            if shapes.get(name) != content.get_slice(name).get_shape():
                raise Unusual(f"its {name} is another")
        return {name: content.get_tensor(name).to(device, dtype) for name in content.keys()}  # noqa: SIM118


def _tokenizer(folder: Path) -> Any:
    from transformers import PreTrainedTokenizerFast

    with quiet():
        return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
