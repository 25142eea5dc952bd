"""The one extension mechanism: `_target_` in YAML names a class, checked against its signature before it is called."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

from hydra.utils import get_object

from ecc_fed.core.errors import ConfigError, EccError


def _parameters(target: Any, path: str, group: str) -> dict[str, inspect.Parameter]:
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{group}._target_={path} cannot be called: {error}.") from error
    return dict(signature.parameters)


def check_arguments(target: Any, arguments: Mapping[str, Any], path: str, group: str) -> None:
    """Refuses unknown and missing arguments by name.

    Raises:
        ConfigError: an argument that `target` does not take, or lacks.
    """
    parameters = _parameters(target, path, group)
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    for name in arguments:
        if name not in parameters:
            near = difflib.get_close_matches(name, parameters, n=1)
            hint = f" Did you mean {group}.{near[0]}?" if near else ""
            raise ConfigError(f"{group}.{name}: {path} takes no such setting; it takes {', '.join(parameters)}.{hint}")
    missing = [
        name
        for name, p in parameters.items()
        if p.default is inspect.Parameter.empty
        and p.kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        and name not in arguments
    ]
    if missing:
        raise ConfigError(f"{group}: {path} needs {', '.join(missing)}. Set {group}.{missing[0]}=VALUE.")


def locate(node: Mapping[str, Any], group: str) -> Any:
    """The class or function that a node names.

    Raises:
        ConfigError: no `_target_`, or none that can be imported.
    """
    path = node.get("_target_")
    if not isinstance(path, str):
        raise ConfigError(f"{group}: no _target_ in {dict(node)}. Name a class, as conf/{group}/*.yaml do.")
    try:
        return get_object(path)
    except Exception as error:
        raise ConfigError(f"{group}._target_={path} cannot be imported: {error}") from error


def accepts(node: Mapping[str, Any], group: str, name: str) -> bool:
    """Whether the node's target takes an argument called `name`."""
    return name in _parameters(locate(node, group), str(node["_target_"]), group)


def instantiate(node: Mapping[str, Any], group: str, **objects: Any) -> Any:
    """Calls the node's target with its values and with `objects` that no YAML can hold.

    A value that has a `_target_` itself is made first.

    Raises:
        ConfigError: a name that the target does not take, or a value that it refuses.
    """
    target = locate(node, group)
    path = str(node["_target_"])
    values = {
        name: instantiate(value, f"{group}.{name}") if isinstance(value, Mapping) and "_target_" in value else value
        for name, value in node.items()
        if name != "_target_" and name not in objects
    }
    check_arguments(target, {**values, **objects}, path, group)
    try:
        return target(**values, **objects)
    except EccError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{group}: {path} refused its settings {values}: {error}") from error
