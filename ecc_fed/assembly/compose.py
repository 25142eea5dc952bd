"""From overrides to a checked `RunConfig`; every mistake becomes one clear message."""

from __future__ import annotations

import copy
import difflib
import functools
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from ecc_fed.assembly.allowed import check_hydra_node, check_targets, no_plugin
from ecc_fed.assembly.federation import build_plan
from ecc_fed.assembly.nodes import node_of, record_of
from ecc_fed.assembly.overrides import ambiguous, config_dirs_override, no_text, readable, unreadable
from ecc_fed.assembly.paths import anchored
from ecc_fed.assembly.privacy import build_private_training, check_text_masks
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.plain_yaml import check_plain
from ecc_fed.core.secrets import check_secrets
from ecc_fed.core.shipped import conf_dir

_NO_FOLDER = re.compile(r"provider=hydra\.searchpath in \S+, path=(.*) is not available")
# As Hydra says of a sweep where one run is to be made.
_SWEPT = re.compile(r"(?:Ambiguous value for argument|Sweep parameters) '(.*?)'(?: 1\. To use it| requires --multirun)")
_NO_TEXT = re.compile(r"Error merging override (.*) Cannot convert '(?:list|dict)' to string")
_NO_CHOICE = re.compile(r"Could not find '([^']+)/([^/']*)'")


@functools.cache
def register_schema() -> None:
    """Puts the typed root where Hydra finds it as `run_schema`."""
    ConfigStore.instance().store(name="run_schema", node=node_of(RunConfig))


def _keys(node: Any, prefix: str = "") -> list[str]:
    if not isinstance(node, Mapping):
        return []
    found = []
    for key, value in node.items():
        found += [f"{prefix}{key}", *_keys(value, f"{prefix}{key}.")]
    return found


def _keys_of_choices(group: str, config_dirs: Sequence[str]) -> dict[str, list[str]]:
    """By setting, the choices of its group whose file has it."""
    found: dict[str, list[str]] = {}
    for folder in (conf_dir(), *map(Path, config_dirs)):
        for path in sorted((folder / group).glob("*.yaml")):
            for key in _keys(OmegaConf.to_container(OmegaConf.load(path), resolve=False)):
                found.setdefault(f"{group}.{key}", []).append(path.stem)
    return found


def _hint(name: str, overrides: Sequence[str], config_dirs: Sequence[str]) -> str:
    """Where the setting is: in another choice of its group, under another group, or under the nearest name."""
    group = name.partition(".")[0]
    elsewhere = _keys_of_choices(group, config_dirs)
    if name in elsewhere:
        return f"It is one of {group}={' or '.join(elsewhere[name])}."
    chosen = [override for override in overrides if re.fullmatch(r"\w+=\w+", override)]
    groups = [one for one in chosen if (conf_dir() / one.split("=")[0]).is_dir()]
    known = _keys(OmegaConf.to_container(_compose(groups, config_dirs), resolve=False))
    moved = [key for key in known if key.rpartition(".")[2] == name.rpartition(".")[2]]
    near = difflib.get_close_matches(name, moved, n=1, cutoff=0)
    near = near or difflib.get_close_matches(name, [*known, *elsewhere], n=1)
    if near and near[0] not in known:
        return f"Did you mean {near[0]}, of {group}={' or '.join(elsewhere[near[0]])}?"
    return f"Did you mean {near[0]}?" if near else "`ecc-fed run --cfg job` prints every setting."


def _explain(error: Exception, overrides: Sequence[str], config_dirs: Sequence[str]) -> ConfigError:
    """Hydra's message, with the nearest name where a key does not exist."""
    if isinstance(error, UserWarning):
        where = _NO_FOLDER.search(str(error))
        return ConfigError(
            f"hydra.searchpath: there is no folder {where[1] if where else error}. "
            "Give one that exists, as file://FOLDER or pkg://PACKAGE, or as --config-dir FOLDER."
        )
    if isinstance(error, ConfigError):
        return error
    if isinstance(error, OverrideParseException):
        return unreadable(error.override)
    chain = [str(error), str(error.__cause__ or "")]
    lines = [line.strip() for message in chain for line in message.splitlines() if line.strip()]
    text = " ".join(
        line for line in lines if not line.startswith(("Config search path", "provider=", "full_key", "object_"))
    )
    swept = _SWEPT.search(text)
    if swept:
        return ambiguous(next(each for each in overrides if readable(each) == swept[1]))
    listed = _NO_TEXT.search(text)
    if listed:
        return no_text(next((each for each in overrides if readable(each) == listed[1]), listed[1]))
    missing = _NO_CHOICE.search(text)
    if missing:
        group, name, choices = missing[1], missing[2], text.partition(f"Available options in '{missing[1]}':")[2]
        kind = group.rpartition("/")[2]
        if group in ("hydra/launcher", "hydra/sweeper"):
            return no_plugin(kind, f"{group}={name}")
        near = difflib.get_close_matches(name, choices.split(), n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        return ConfigError(f"There is no {group}={name}. {hint}Choices: {choices.strip() or 'none'}.")
    unknown = re.search(r"Could not override '([^']+)'", text)
    if unknown:
        name = unknown.group(1)
        return ConfigError(f"There is no setting {name}. {_hint(name, overrides, config_dirs)}")
    return ConfigError(f"The settings {' '.join(overrides) or '(none)'} do not compose: {text}")


def _compose(overrides: Sequence[str], config_dirs: Sequence[str] = (), hydra: bool = False) -> DictConfig:
    register_schema()
    if config_dirs and any(override.lstrip("+").startswith("hydra.searchpath=") for override in overrides):
        raise ConfigError("hydra.searchpath: with --config-dir, give its folders as --config-dir too.")
    for folder in config_dirs:
        _check_own_names(Path(folder))
    search = [config_dirs_override(config_dirs)] if config_dirs else []
    GlobalHydra.instance().clear()
    with warnings.catch_warnings(), initialize_config_dir(str(conf_dir()), version_base="1.3"):
        warnings.filterwarnings("error", message=_NO_FOLDER.pattern)  # Hydra only mentions it, and goes on without
        return compose("run", overrides=[*map(readable, overrides), *search], return_hydra_config=hydra)


def _check_own_names(folder: Path) -> None:
    """A user's YAML stands behind ours: one with the name of ours would never be read.

    Raises:
        ConfigError: names the first such file.
    """
    for path in sorted(conf_dir().glob("**/*.yaml")):
        own = folder / path.relative_to(conf_dir())
        if own.is_file() and not own.samefile(path):
            raise ConfigError(
                f"{own} has the name of a file of ecc_fed's own, which is read in its place. Give it another name."
            )


def compose_run(overrides: Sequence[str], config_dirs: Sequence[str] = ()) -> DictConfig:
    """Composes one run.

    Raises:
        ConfigError: an override that cannot be parsed, names nothing, or has a value of the wrong type.
    """
    try:
        return _compose(overrides, config_dirs)
    except Exception as error:  # whatever Hydra happens upon in overrides that it does not expect
        raise _explain(error, overrides, config_dirs) from error


def compose_job(
    overrides: Sequence[str], config_dirs: Sequence[str] = (), allowed: Sequence[str] = ()
) -> tuple[DictConfig, DictConfig]:
    """One run, and Hydra's own part of it, without code that Hydra would run before the job.

    Raises:
        ConfigError: as `compose_run` and `check_hydra_node`.
    """
    try:
        whole = _compose(overrides, config_dirs, hydra=True)
    except Exception as error:  # whatever Hydra happens upon in overrides that it does not expect
        raise _explain(error, overrides, config_dirs) from error
    check_hydra_node(cast(Mapping[str, Any], OmegaConf.to_container(whole.hydra, resolve=False)), allowed)
    job = copy.deepcopy(whole)
    OmegaConf.set_struct(job, False)
    del job["hydra"]
    OmegaConf.set_struct(job, True)
    return job, whole


def hydra_setting(key: str, whole: DictConfig, overrides: Sequence[str], config_dirs: Sequence[str] = ()) -> str | None:
    """What a setting of Hydra's own, such as hydra.run.dir, comes to; None if Hydra sets a part of it later.

    Args:
        key: its name.
        whole: what `compose_job` gave of Hydra's part.
        overrides: what it was made of, for the error.
        config_dirs: likewise.

    Raises:
        ConfigError: its value cannot be made.
    """
    try:
        HydraConfig.instance().set_config(whole)
        return str(OmegaConf.select(whole, key))
    except OmegaConfBaseException:
        return None
    except (HydraException, ValueError) as error:
        raise _explain(error, overrides, config_dirs) from error


def to_run_config(composed: DictConfig, allowed: Sequence[str] = ()) -> RunConfig:
    """Typed and range-checked; from here on its classes are trusted.

    Args:
        composed: from `compose_run`, or a file of settings.
        allowed: packages whose classes it may name, beside this one.

    Raises:
        ConfigError: a missing or out-of-range value, a class of a package that is not allowed, a secret that stands
            there itself, or parts that do not go together.
    """
    check_secrets(OmegaConf.to_container(composed, resolve=False))
    try:
        missing = sorted(OmegaConf.missing_keys(composed))
        if missing:
            raise ConfigError(f"{missing[0]} has no value. Set {missing[0]}=VALUE.")
        values = OmegaConf.to_container(composed, resolve=True)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None)
        raise ConfigError(f"{key or 'settings'}: {str(error).splitlines()[0]}") from error
    check_targets(values, allowed)
    try:
        config = record_of(RunConfig, anchored(cast(Mapping[str, Any], values)))
    except KeyError as error:
        raise ConfigError(f"There is no setting {error.args[0]}. {_hint(str(error.args[0]), [], [])}") from error
    except (TypeError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"The settings hold a value of the wrong kind ({error}). `ecc-fed run --cfg job` prints every setting."
        ) from error
    # Cheap, so that parts that do not go together are refused before anything is loaded.
    build_plan(config)
    build_private_training(config)
    check_text_masks(config)
    return config


def load_config(path: Path, overrides: Sequence[str] = (), allowed: Sequence[str] = ()) -> RunConfig:
    """The config of a run as it was resolved, with single values changed by GROUP.KEY=VALUE.

    What study it was part of is left out: a study's own view is no part of its runs, and nobody has to allow it here.

    Raises:
        ConfigError: the file is missing or not a run's config, an override is no setting of it, or as `to_run_config`.
    """
    try:
        changes = _changes(overrides)
        check_plain(path.read_text(encoding="utf-8", errors="replace"))
        loaded = OmegaConf.load(path)
        if isinstance(loaded, DictConfig):
            loaded.pop("study", None)
        schema = OmegaConf.structured(node_of(RunConfig))
        return to_run_config(cast(DictConfig, OmegaConf.merge(schema, loaded, changes)), allowed)
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as the config of a run: {error}") from error
    except OmegaConfBaseException as error:
        hint = f". {_hint(str(error.full_key), [], [])}" if isinstance(error, ConfigKeyError) else ""
        changed = " ".join(overrides) or "no changes"
        raise ConfigError(f"{path} with {changed}: {str(error).splitlines()[0]}{hint}") from error


def _changes(overrides: Sequence[str]) -> DictConfig:
    changes = OmegaConf.create()
    for override in overrides:
        try:
            parsed = OverridesParser.create().parse_override(readable(override))
        except HydraException as error:
            raise unreadable(override) from error
        if parsed.is_sweep_override():
            raise ambiguous(override)
        if parsed.is_delete() or parsed.package is not None:
            raise ConfigError(f"{override}: a run's config is changed by KEY=VALUE alone.")
        OmegaConf.update(changes, parsed.key_or_group, parsed.value())
    return changes


def to_yaml(composed: DictConfig) -> str:
    """The resolved config, without Hydra's own part, with paths as `anchored` tells them.

    Where it reads the environment it stays as it was written: what stands in a variable may be a secret, wherever
    another setting repeats it.
    """
    written = OmegaConf.to_container(composed, resolve="oc.env" not in OmegaConf.to_yaml(composed, resolve=False))
    return OmegaConf.to_yaml(OmegaConf.create(anchored(cast(Mapping[str, Any], written))))
