"""Where a model's files lie: a folder, the Hugging Face cache, or the hub; and whether they are all there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from transformers import CONFIG_MAPPING

from ecc_fed.core.errors import ModelError

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
_SMALL_FILES = ["*.json", "*.model", "*.txt", "*.jinja"]
_FOLDERS = ["*/*"]  # other formats of the same weights


def refusal(role: str, path: str | Path, reason: str, remedy: str) -> ModelError:
    """The error that every part of the opener raises: which model, what is wrong with it, what to do."""
    return ModelError(f"the {role} {path} {reason}: {remedy}")


def own_code(role: str, folder: Path) -> ModelError:
    """The error for a model that brings Python of its own."""
    return refusal(
        role,
        folder,
        "needs its own modelling code, which is never run here",
        "for ChatGLM3 convert it once with `ecc-fed convert-chatglm3`, else take a natively supported model",
    )


def find_folder(path: str, role: str) -> Path:
    """The local folder of a model: `path` itself, or the hub's files for that id (cached, else fetched).

    Args:
        path: a folder, or a hub id such as `name/model`.
        role: what the model is for, such as "end model"; for messages.

    Raises:
        ModelError: no such folder, an incomplete one, or a hub id that is not cached and not reachable.
    """
    folder = Path(path).expanduser()
    if path.strip() and folder.is_dir():
        check_folder(folder, role)
        return folder
    if folder.exists() or path.startswith((".", "/", "~")) or path.count("/") > 1 or not path.strip():
        raise refusal(role, repr(path), "is no folder", "give an existing one, or a hub id such as `name/model`")
    try:
        cached = Path(snapshot_download(path, local_files_only=True))
        check_folder(cached, role)
        return cached
    except Exception:
        pass  # Not cached, or only in part: ask the hub.
    try:
        fetched = _fetched(path, "*.safetensors")
        if not any(any(fetched.glob(pattern)) for pattern in _WEIGHTS):
            fetched = _fetched(path, "pytorch_model*.bin")
    except Exception as error:  # The hub client raises httpx's and its own errors alike.
        raise refusal(
            role,
            repr(path),
            f"is no local folder, is not in the Hugging Face cache, and could not be fetched ({type(error).__name__})",
            "connect once to fetch it, set HF_HOME to a cache that holds it, or give a local folder",
        ) from error
    check_folder(fetched, role)
    return fetched


def _fetched(hub_id: str, weights: str) -> Path:
    return Path(snapshot_download(hub_id, allow_patterns=[*_SMALL_FILES, weights], ignore_patterns=_FOLDERS))


def check_folder(folder: Path, role: str) -> None:
    """Refuses what cannot be a whole model, before anything large is read.

    Raises:
        ModelError: config.json, weights or tokenizer are missing, or the model needs code of its own.
    """
    if not (folder / "config.json").is_file():
        raise refusal(role, folder, "has no config.json", "give a model folder, as save_pretrained writes it")
    if not any(any(folder.glob(pattern)) for pattern in _WEIGHTS):
        raise refusal(
            role,
            folder,
            "has no weights (*.safetensors or pytorch_model*.bin)",
            "download the checkpoint completely; a git clone without LFS leaves them out",
        )
    if not any((folder / name).is_file() for name in _TOKENIZER):
        raise refusal(
            role,
            folder,
            "has no tokenizer (tokenizer.json, tokenizer.model or vocab.txt)",
            "copy it beside the weights",
        )
    for index in (*folder.glob("*.safetensors.index.json"), *folder.glob("pytorch_model*.bin.index.json")):
        shards = sorted(set(_json(index, role).get("weight_map", {}).values()))
        lacking = [shard for shard in shards if not (folder / shard).is_file()]
        if lacking:
            raise refusal(
                role,
                folder,
                f"lacks {len(lacking)} of the {len(shards)} weight files that {index.name} lists, "
                f"the first being {lacking[0]}",
                "download the checkpoint completely",
            )
    config = _json(folder / "config.json", role)
    if config.get("model_type") == "chatglm" or (
        config.get("auto_map") and config.get("model_type") not in CONFIG_MAPPING
    ):
        raise own_code(role, folder)


def _json(file: Path, role: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise refusal(role, file, f"is no valid JSON ({error})", "copy it again") from error
    if not isinstance(content, dict):
        raise refusal(role, file, "holds no JSON object", "copy it again")
    return content
