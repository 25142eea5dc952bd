"""Whose classes a config may name: this package's own, and those of packages that the user allows.

A config may come from somebody else: in a run's folder, by `--config-dir`, over Flower's wire. It is data. A
`_target_` is code, so it is looked at by its name, before anything is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ecc_fed.core.errors import ConfigError

OWN = "ecc_fed"
_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
_BASIC = {
    "launcher": "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "sweeper": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
}
_BASIC_SETTINGS = {"launcher": (), "sweeper": ("max_batch_size", "params")}
# What is there instead of other plugins. Launchers would make runs where their hosts and signals, and what they come
# to, are out of this process's reach; sweepers would wait for a number that a run does not return.
_INSTEAD = {
    "launcher": "a sweep's runs are made one after another, by Hydra's basic launcher. For runs beside each other: "
    "ecc-fed study NAME --jobs N.",
    "sweeper": "-m sweeps over the values that are given, by Hydra's basic sweeper. For a search: "
    "ecc-fed tune METRIC 'KEY=range(…)'.",
}


def is_in(path: str, packages: Sequence[str]) -> bool:
    """Whether a dotted name lies in one of the packages: `a.b.C` in `a` and in `a.b`, not in `a.bc`."""
    return any(path == package or path.startswith(f"{package}.") for package in packages)


def targets_in(node: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """(name of the node, its `_target_`) of every node at any depth, in lists too."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield name, node["_target_"]
        for key, value in node.items():
            yield from targets_in(value, f"{name}.{key}".lstrip("."))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from targets_in(value, f"{name}.{index}")


def check_targets(values: Any, allowed: Sequence[str]) -> None:
    """Refuses a config that names a class outside this package and the allowed ones. Imports nothing.

    Args:
        values: the config, as plain values.
        allowed: packages, such as `my_package` or `my_package.parts`.

    Raises:
        ConfigError: names the first such class, and the way to allow it.
    """
    for name, target in targets_in(values):
        if not isinstance(target, str) or not is_in(target, (OWN, *allowed)):
            package = str(target).partition(".")[0]
            raise ConfigError(
                f"{name}._target_={target} is no class of {OWN}, and a config alone does not get to run code. "
                f"Where you trust it, say so: --allow {package}"
            )


def no_plugin(kind: str, given: str) -> ConfigError:
    """That a launcher or sweeper of Hydra's, as it was given, is not for here, and what is."""
    return ConfigError(f"{given} is not for here: {_INSTEAD[kind]}")


def check_hydra_node(node: Mapping[str, Any], allowed: Sequence[str]) -> None:
    """Refuses code in Hydra's own part: callbacks, log handlers, variables of the environment; and other launchers.

    Args:
        node: `hydra` of the config, as plain values.
        allowed: packages that Hydra may take plugins from.

    Raises:
        ConfigError: names what is refused.
    """
    for kind, basic in _BASIC.items():
        choice = node["runtime"]["choices"][f"hydra/{kind}"]
        if choice != "basic":
            raise no_plugin(kind, f"hydra/{kind}={choice}")
        for key, value in node[kind].items():
            if (key == "_target_" and value != basic) or key not in ("_target_", *_BASIC_SETTINGS[kind]):
                raise no_plugin(kind, f"hydra.{kind}.{key}={value}")
    for name, target in targets_in(node, "hydra"):
        if not isinstance(target, str) or not (target in _BASIC.values() or is_in(target, allowed)):
            package = str(target).partition(".")[0]
            raise ConfigError(f"{name}._target_={target} is none of Hydra's own. Where you trust it: --allow {package}")
    if node["mode"] is not None:
        raise ConfigError("hydra.mode: leave it out. -m makes a sweep.")
    if node["job"]["env_set"]:
        raise ConfigError("hydra.job.env_set: a config sets no environment variables here. Set them in your shell.")
    for part in ("job_logging", "hydra_logging"):
        for key, value in _leaves(node[part]):
            if key == "()" or (key == "class" and not is_in(str(value), ("logging", "colorlog", *allowed))):
                raise ConfigError(f"hydra.{part}: {key}={value} is no class of Python's logging. Leave it out.")
            if isinstance(value, str) and not _is_plain(value):
                raise ConfigError(f"hydra.{part}: {key}={value} is no plain value. Leave it out.")


def _is_plain(value: str) -> bool:
    """Not a name that `logging.config` would import, and no interpolation that could hide one."""
    if "${" in value:
        return value.startswith("${hydra.runtime.output_dir}/")
    return "://" not in value or value in _STREAMS


def _leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _leaves(value, str(name))
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _leaves(value, key)
    else:
        yield key, node
