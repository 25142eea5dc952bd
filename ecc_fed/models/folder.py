"""Where a model's files lie: a folder, the Hugging Face cache, or the hub; and whether they are all there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecc_fed.core.errors import ModelError
from ecc_fed.core.outside_text import cut

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
_ADAPTER = "adapter_config.json"
# How the notes begin that git-lfs leaves in a clone, and what they stay below.
POINTER = b"version https://git-lfs"
_POINTER_BYTES = 1024
_REASON_CHARACTERS = 300
_SMALL_FILES = ["*.json", "*.model", "*.txt", "*.jinja"]
_FOLDERS = ["*/*"]  # other formats of the same weights


def refusal(role: str, path: str | Path, reason: str, remedy: str) -> ModelError:
    """The error that every part of the opener raises: which model, what is wrong with it, what to do."""
    return ModelError(f"the {role} {path} {reason}: {remedy}")


def reason_of(error: BaseException) -> str:
    """What an error says, on one line and not at length; its kind, where it says nothing or no more than a name."""
    said = " ".join(str(error).split())
    words = f"{type(error).__name__}: {said}" if isinstance(error, LookupError) and said else said
    return cut(words, _REASON_CHARACTERS) if words else type(error).__name__


def own_code(role: str, folder: Path) -> ModelError:
    """The error for a model that brings Python of its own."""
    return refusal(
        role,
        folder,
        "needs its own modelling code, which is never run here",
        "for ChatGLM3 convert it once with `ecc-fed convert-chatglm3`, else take a natively supported model",
    )


def is_gguf_path(path: str) -> bool:
    """Whether a model's path names a file, where a folder or a hub id could stand."""
    return bool(path.strip()) and Path(path).expanduser().is_file()


def openable(path: str, role: str) -> str:
    """A model's path as transformers and peft open it: of a GGUF file, the folder that it became.

    Raises:
        ModelError: a file that cannot be converted.
    """
    return str(local_folder(path, role)) if is_gguf_path(path) else path


def local_folder(path: str, role: str) -> Path | None:
    """The folder on this machine that `path` names; None where it is a hub id.

    That of a GGUF file is what it was converted to, now or before.

    Raises:
        ModelError: it is neither, or a file that cannot be converted.
    """
    folder = Path(path).expanduser()
    if path.strip() and folder.is_dir():
        return folder
    if is_gguf_path(path):
        from ecc_fed.models.gguf.cache import converted_folder  # which refuses by this module

        return converted_folder(folder, role)
    if path.lower().endswith(".gguf"):
        raise refusal(role, repr(path), "is no file", "give a GGUF file that is there")
    if folder.exists() or path.startswith((".", "/", "~")) or path.count("/") > 1 or not path.strip():
        raise refusal(role, repr(path), "is no folder", "give an existing one, or a hub id such as `name/model`")
    return None


def find_folder(path: str, role: str) -> Path:
    """The local folder of a model: `path` itself, what that file became, or the hub's files (cached, else fetched).

    Args:
        path: a folder, a GGUF file, or a hub id such as `name/model`.
        role: what the model is for, such as "end model"; for messages.

    Raises:
        ModelError: no such folder, an incomplete one, or a hub id that is not cached and not reachable.
    """
    folder = local_folder(path, role)
    if folder is not None:
        check_folder(folder, role)
        return folder
    try:
        cached = Path(_snapshot(path, local_files_only=True))
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
    return Path(_snapshot(hub_id, allow_patterns=[*_SMALL_FILES, weights], ignore_patterns=_FOLDERS))


def _snapshot(hub_id: str, **options: Any) -> str:
    from huggingface_hub import snapshot_download

    return str(snapshot_download(hub_id, **options))


def check_folder(folder: Path, role: str) -> None:
    """Refuses what cannot be a whole model, before anything large is read.

    Raises:
        ModelError: config.json, weights or tokenizer are missing, or the model needs code of its own.
    """
    if not (folder / "config.json").is_file() and (folder / _ADAPTER).is_file():
        raise refusal(
            role,
            folder,
            f"is an adapter ({_ADAPTER}) without its base",
            "give the base's folder, or merge the adapter into the base (merge_and_unload) and save that",
        )
    if not (folder / "config.json").is_file():
        file = next(iter(sorted(folder.glob("*.gguf"))), None)
        remedy = "give a model folder, as save_pretrained writes it" if file is None else f"give the file, {file}"
        raise refusal(role, folder, "has no config.json", remedy)
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
    _refuse_pointers(folder, role)
    if (folder / _ADAPTER).is_file():
        raise refusal(
            role,
            folder,
            f"holds an adapter beside the base ({_ADAPTER}), which would be opened in the base's place",
            "move adapter_config.json and adapter_model.* elsewhere, or merge the adapter into the base",
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
    if config.get("model_type") == "chatglm" or (config.get("auto_map") and not _known_kind(config)):
        raise own_code(role, folder)


def _known_kind(config: Mapping[str, Any]) -> bool:
    from transformers import CONFIG_MAPPING  # a second that most folders spare

    return config.get("model_type") in CONFIG_MAPPING


def check_tokenizer(folder: Path, role: str) -> None:
    """Refuses a tokenizer.json that the installed library tokenizers cannot read.

    Raises:
        ModelError: what the library says against it.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        return
    from tokenizers import Tokenizer

    try:
        Tokenizer.from_file(str(file))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library's panics are no `Exception`
        raise refusal(
            role,
            folder,
            f"has a tokenizer.json that cannot be read ({reason_of(error)})",
            "copy it again; one of a newer release needs newer packages transformers and tokenizers",
        ) from error


def _refuse_pointers(folder: Path, role: str) -> None:
    """Refuses a clone in which git-lfs left notes in the place of files."""
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.stat().st_size < _POINTER_BYTES and file.read_bytes().startswith(POINTER):
            raise refusal(
                role,
                folder,
                f"has a git-lfs pointer in the place of {file.name}",
                "fetch the files themselves: `git lfs install` and `git lfs pull` in that folder, or download them",
            )


def _json(file: Path, role: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise refusal(role, file, f"is no valid JSON ({error})", "copy it again") from error
    if not isinstance(content, dict):
        raise refusal(role, file, "holds no JSON object", "copy it again")
    return content
