"""Whether the models that a run names by a folder can be whole: seen before hosts start, without reading weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ecc_fed.assembly.build import base_path
from ecc_fed.assembly.paths import OWN_NAMES
from ecc_fed.assembly.probe import LOCAL_TEACHER
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.models.folder import check_folder, check_tokenizer


def check_local_models(config: RunConfig) -> None:
    """Refuses a folder on this machine that lacks a part, or holds something else than a model.

    Hub ids, and folders that only the hosts' machines have, are checked where they are opened.

    Raises:
        ModelError: names the model, what is wrong with it, and the remedy.
    """
    for role, path in _paths(config):
        folder = Path(path).expanduser()
        if folder.is_dir():
            check_folder(folder, role)
            check_tokenizer(folder, role)


def _paths(config: RunConfig) -> Iterator[tuple[str, str]]:
    yield "end model", base_path(config)
    teacher = config.teacher.get("path")
    if config.teacher.get("_target_") == LOCAL_TEACHER and isinstance(teacher, str):
        yield "teacher model", teacher
    for name in ("similarity", "relevance"):
        path = getattr(config.judge, name).get("path")
        if isinstance(path, str) and path.split("/")[0] not in OWN_NAMES:
            yield f"{name} model", path
