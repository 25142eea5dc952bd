"""The folders that GGUF files became, by what is in the files: each is converted once on a machine."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.core.folder_lock import taken
from ecc_fed.core.whole_folder import new_folder, remove_leftovers
from ecc_fed.models.folder import is_gguf_path, reason_of, refusal
from ecc_fed.models.gguf.header import Header
from ecc_fed.models.gguf.support import check_file

_LOG = logging.getLogger(__name__)
# Raised when the same file becomes another folder than before.
_FORM = 2
_SOURCE = "source.json"
_BYTES_PER_WEIGHT = 2  # bf16
_SMALL_FILES_BYTES = 64 * 2**20
_ROOM = "make room there, or set XDG_CACHE_HOME to a folder with room"


def cache_root() -> Path:
    """Where converted files lie: `ecc_fed/gguf` below XDG_CACHE_HOME, by default ~/.cache."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # A relative one counts for nothing, by the XDG rules.
    return (named if named.is_absolute() else Path.home() / ".cache") / "ecc_fed" / "gguf"


def file_sha256(file: Path) -> str:
    """SHA-256 of a file, worked out once a process as long as the file stays as it is.

    Raises:
        OSError: it cannot be read.
    """
    known = file.stat()
    return _sha256(file, known.st_size, known.st_mtime_ns, known.st_ino)


@lru_cache
def _sha256(file: Path, *_as_it_was: int) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def require_sha256(path: str, wanted: str | None, role: str) -> None:
    """Holds a model to the file that it should be.

    Args:
        path: the model's.
        wanted: the file's SHA-256 in hexadecimal digits, small letters; None: any model.
        role: what the model is for, such as "end model"; for messages.

    Raises:
        ModelError: `path` names another file, or none.
    """
    if wanted is None:
        return
    remedy = "take the file that was meant, or set end_model.sha256=null"
    if not is_gguf_path(path):
        raise refusal(role, repr(path), "is no GGUF file, and its SHA-256 is asked for", remedy)
    found = file_sha256(Path(path).expanduser())
    if found != wanted:
        raise refusal(role, path, f"has the SHA-256 {found} and not {wanted}", remedy)


def converted_folder(file: Path, role: str) -> Path:
    """The Hugging Face folder of a GGUF file: from the cache, else converted there now, which is logged.

    A file with another content has another folder, and a folder that is not as it was written is made anew.

    Args:
        file: the GGUF file.
        role: what the model is for, such as "end model"; for messages.

    Raises:
        ModelError: the file cannot be converted, or the cache cannot be written; names it and the remedy.
    """
    try:
        sha256 = file_sha256(file)
    except OSError as error:
        raise refusal(role, file, f"cannot be read ({reason_of(error)})", "give one that can") from error
    root = cache_root()
    folder = root / f"{sha256[:16]}-{_FORM}-transformers-{version('transformers')}"
    if _is_whole(folder, sha256):
        return folder
    header = check_file(file, role)
    try:
        # One conversion at a time: two may not fit into memory, and the second may be of the same file.
        with taken(root / ".lock", waits=True):
            if not _is_whole(folder, sha256):
                _convert(header, folder, sha256, role)
    except (OSError, SafetensorError, RunDirectoryError) as error:
        raise refusal(role, file, f"cannot be converted to {folder} ({reason_of(error)})", _ROOM) from error
    return folder


def _convert(header: Header, folder: Path, sha256: str, role: str) -> None:
    from ecc_fed.models.gguf.conversion import convert  # with torch and transformers

    root = folder.parent
    remove_leftovers(root)
    shutil.rmtree(folder, ignore_errors=True)
    needed = sum(tensor.elements for tensor in header.tensors) * _BYTES_PER_WEIGHT + _SMALL_FILES_BYTES
    free = shutil.disk_usage(root).free
    if free < needed:
        raise OSError(f"it takes {needed / 2**30:.2f} GiB, and {free / 2**30:.2f} GiB are free")
    _LOG.warning("%s is converted once, to %s (bf16, %.2f GiB)", header.file, folder, needed / 2**30)
    with new_folder(folder) as aside:
        convert(header, aside, role)
        source = {"file": header.file.name, "sha256": sha256, "form": _FORM, "files": _sizes(aside)}
        (aside / _SOURCE).write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")


def _sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.name != _SOURCE}


def _is_whole(folder: Path, sha256: str) -> bool:
    """Whether the folder is that file's and has all its parts, by their sizes."""
    try:
        source: Any = json.loads((folder / _SOURCE).read_text(encoding="utf-8"))
        return bool(source["sha256"] == sha256 and source["files"] == _sizes(folder))
    except (OSError, ValueError, LookupError, TypeError):
        return False
