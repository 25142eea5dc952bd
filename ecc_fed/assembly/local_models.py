"""Models that a run names by a folder or a GGUF file: whether they can be whole, seen before hosts start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ecc_fed.assembly.build import base_path
from ecc_fed.assembly.paths import OWN_NAMES
from ecc_fed.assembly.probe import LOCAL_TEACHER
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.models.folder import check_folder, check_tokenizer, is_gguf_path
from ecc_fed.models.gguf.cache import converted_folder, require_sha256
from ecc_fed.models.gguf.support import check_file


def check_local_models(config: RunConfig) -> None:
    """Refuses a folder or file on this machine that lacks a part, or holds something else than a model.

    No weights are read. Hub ids, and what only the hosts' machines have, are checked where they are opened.

    Raises:
        ModelError: names the model, what is wrong with it, and the remedy.
    """
    for role, path in _paths(config):
        folder = Path(path).expanduser()
        if folder.is_dir():
            check_folder(folder, role)
            check_tokenizer(folder, role)
        elif is_gguf_path(path):
            check_file(folder, role)
    if Path(config.end_model.path).expanduser().exists():
        require_sha256(config.end_model.path, config.end_model.sha256, "end model")


def convert_local_models(config: RunConfig) -> None:
    """Converts the GGUF files that a run names, where that was not done before: said here, where it is seen.

    Raises:
        ModelError: names the model, what is wrong with it, and the remedy.
    """
    for role, path in _paths(config):
        if is_gguf_path(path):
            converted_folder(Path(path).expanduser(), role)


def _paths(config: RunConfig) -> Iterator[tuple[str, str]]:
    yield "end model", base_path(config)
    teacher = config.teacher.get("path")
    if config.teacher.get("_target_") == LOCAL_TEACHER and isinstance(teacher, str):
        yield "teacher model", teacher
    for name in ("similarity", "relevance"):
        path = getattr(config.judge, name).get("path")
        if isinstance(path, str) and path.split("/")[0] not in OWN_NAMES:
            yield f"{name} model", path
