"""The one extension mechanism: `_target_` in YAML names a class, checked against its signature before it is called.

A name is not enough: `ecc_fed.core.run_directory.os.system` begins well. What is found must be a class, defined in
the package that its name begins with, and have the methods of the Protocol that its place asks for.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

from hydra.utils import get_object

from ecc_fed.assembly.allowed import OWN, is_in
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


def locate(node: Mapping[str, Any], group: str, kind: type | None = None) -> Any:
    """The class that a node names.

    Args:
        node: has a `_target_`.
        group: where it stands, for messages.
        kind: the Protocol whose methods it must have; None: any class.

    Raises:
        ConfigError: no `_target_`, none that can be imported, or one that is no class for this place.
    """
    path = node.get("_target_")
    if not isinstance(path, str):
        raise ConfigError(f"{group}: no _target_ in {dict(node)}. Name a class, as conf/{group}/*.yaml do.")
    try:
        found = get_object(path)
    except Exception as error:
        raise ConfigError(f"{group}._target_={path} cannot be imported: {error}") from error
    if not inspect.isclass(found):
        raise ConfigError(f"{group}._target_={path} is no class. Name a class, as conf/{group}/*.yaml do.")
    if not is_in(found.__module__, (path.partition(".")[0], OWN)):
        raise ConfigError(f"{group}._target_={path} is defined in {found.__module__}. Name it where it is defined.")
    lacking = [name for name in _methods(kind) if not callable(getattr(found, name, None))]
    if kind is not None and (lacking or not (_is_protocol(kind) or issubclass(found, kind))):
        why = f": it has no method {', '.join(lacking)}" if lacking else ""
        raise ConfigError(f"{group}._target_={path} is no {kind.__name__}{why}.")
    return found


def _is_protocol(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False))


def _attributes(kind: type | None) -> Iterator[str]:
    """What a Protocol's classes must tell of themselves as properties."""
    for base in kind.__mro__ if kind is not None and _is_protocol(kind) else ():
        yield from (name for name, held in vars(base).items() if isinstance(held, property))


def _methods(kind: type | None) -> Iterator[str]:
    """What a Protocol's classes can be asked to do; nothing for a class of another sort."""
    for base in kind.__mro__ if kind is not None else ():
        if _is_protocol(base):
            yield from (name for name, held in vars(base).items() if inspect.isfunction(held) and name[0] != "_")


def _kinds(target: Any) -> dict[str, type]:
    """The classes that a target's own parts are to be, by parameter, where its annotations tell."""
    try:
        hints = get_type_hints(target if is_dataclass(target) else target.__init__)
    except (NameError, TypeError):
        return {}
    found = {}
    for name, hint in hints.items():
        others = [each for each in get_args(hint) if each is not NoneType] if isinstance(hint, UnionType) else [hint]
        if len(others) == 1 and inspect.isclass(others[0]):
            found[name] = others[0]
    return found


def check_text(value: Any, kind: type | None, name: str) -> None:
    """Refuses a list or a dict where a text is wanted, such as a path that is wholly in brackets.

    Raises:
        ConfigError: names the setting, and how a text is given.
    """
    if kind is str and isinstance(value, list | tuple | Mapping) and "_target_" not in value:
        raise ConfigError(
            f"{name}={value} is no text. A text in brackets is quoted, for the shell too: {name}=\"'[…]'\"."
        )


def accepts(node: Mapping[str, Any], group: str, name: str) -> bool:
    """Whether the node's target takes an argument called `name`."""
    return name in _parameters(locate(node, group), str(node["_target_"]), group)


def instantiate(node: Mapping[str, Any], group: str, kind: type | None = None, **objects: Any) -> Any:
    """Calls the node's target with its values and with `objects` that no YAML can hold.

    A value that has a `_target_` itself is made first, of the class that the target's annotation names.

    Raises:
        ConfigError: as `locate`; a name that the target does not take, or a value that it refuses.
    """
    target = locate(node, group, kind)
    path = str(node["_target_"])
    given = {name: value for name, value in node.items() if name != "_target_" and name not in objects}
    check_arguments(target, {**given, **objects}, path, group)
    kinds = _kinds(target)
    for name, value in given.items():
        check_text(value, kinds.get(name), f"{group}.{name}")
    values = {
        name: instantiate(value, f"{group}.{name}", kinds.get(name))
        if isinstance(value, Mapping) and "_target_" in value
        else value
        for name, value in given.items()
    }
    try:
        made = target(**values, **objects)
    except EccError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{group}: {path} refused its settings {values}: {error}") from error
    lacking = [name for name in _attributes(kind) if not hasattr(made, name)]
    if kind is not None and lacking:
        raise ConfigError(f"{group}._target_={path} is no {kind.__name__}: it has no attribute {', '.join(lacking)}.")
    return made
