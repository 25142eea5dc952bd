"""What a sweep changed: the settings in which runs of one arm and seed differ."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.core.plain_yaml import check_plain
from ecc_fed.core.secrets import without_secrets
from ecc_fed.core.shipped import choice_name
from ecc_fed.reporting.run import Run

# Config groups that say where and by which plan, not what.
_NOT_SETTINGS = ("arm", "hydra", "paths", "tracker", "study", "experiment", "seed")
# Settings that `run.json` itself tells, under the names a reader knows.
_RUN_SETTINGS = ("platform_share", "corpus", "language", "server_rounds", "cycles", "personal_rounds")
# Settings of the world that the arms meet: runs that differ in one of these answer other shops.
_OF_THE_WORLD = ("platform_share", "language", "corpus", "partition")
# Settings that a run without a server never reads. Who takes part when is the same in every arm, and none of them.
_OF_THE_SERVER = ("strategy", "update", "replies", "personal_rounds")
_CLASS = "._target_"


def _flat(value: Any, prefix: str) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {name: text for key, item in value.items() for name, text in _flat(item, f"{prefix}.{key}").items()}
    text = "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return {prefix.lstrip("."): text}


def read_config(run: Run) -> Any:
    """The run's config as plain values; empty where there is none.

    Raises:
        RunDirectoryError: it is not YAML, or nested beyond all reason.
    """
    text = run.config or ""
    try:
        check_plain(text)
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        line = error.problem_mark.line + 1 if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark else "?"
        raise RunDirectoryError(
            f"{run.directory.config}, line {line}: not YAML; repair it or remove the file"
        ) from error


def settings_of(run: Run) -> dict[str, str]:
    """Everything that may have been swept, flat: first what `run.json` tells, then the resolved config."""
    told = {key: value for key in _RUN_SETTINGS if (value := getattr(run.info, key)) is not None}
    config = without_secrets(read_config(run))
    chosen = (
        {key: value for key, value in config.items() if key not in _NOT_SETTINGS} if isinstance(config, dict) else {}
    )
    # A path inside the run's own folder differs between any two runs and says nothing of what was run.
    own = "/".join(run.directory.root.parts[-2:])
    return {name: value for name, value in (_flat(chosen, "") | _flat(told, "")).items() if own not in value}


def is_of_the_world(name: str) -> bool:
    """Whether a setting says what the shops are, not what is done with them."""
    return name.split(".")[0] in _OF_THE_WORLD


def is_of_the_server(name: str) -> bool:
    """Whether a setting says what the server does: an arm without one is the same whatever it says."""
    return name.split(".")[0] in _OF_THE_SERVER


def _preference(name: str, telling: bool) -> tuple[int, str]:
    """Which of several settings that change together names the sweep; `telling` a part's class by its own name."""
    if name in _RUN_SETTINGS:
        return 0, name
    if name.endswith(".name") or (telling and name.count(".") == 1):
        return 1, name
    return (3, name) if "_target_" in name else (2, name)


def _tells(name: str, settings: Sequence[Mapping[str, str]]) -> bool:
    """Whether a class tells its values apart by its name alone, without its module."""
    values = {setting[name] for setting in settings if name in setting}
    return name.endswith(_CLASS) and len({value.rpartition(".")[2] for value in values}) == len(values)


def swept_settings(runs: Sequence[Run], settings: Sequence[Mapping[str, str]]) -> list[str]:
    """Settings that differ between runs of one arm and seed, without those that only follow others."""
    cells = [(run.arm, run.seed) for run in runs]

    def parts(names: Sequence[str]) -> list[tuple[object, ...]]:
        return [(cell, *(setting.get(name) for name in names)) for cell, setting in zip(cells, settings, strict=True)]

    chosen: list[str] = []
    names = {name: _tells(name, settings) for setting in settings for name in setting}
    for name in sorted(names, key=lambda name: _preference(name, names[name])):
        # A name that cuts no cell further than the chosen ones do says nothing new.
        if len(set(parts([*chosen, name]))) > len(set(parts(chosen))):
            chosen.append(name)
    return chosen


def short_names(names: Sequence[str]) -> dict[str, str]:
    """The last part of each name, where that is unambiguous; a part's class has the name of the part."""
    last = [name.removesuffix(_CLASS).rpartition(".")[2] for name in names]
    return {
        name: part if last.count(part) == 1 and part != "name" else name for name, part in zip(names, last, strict=True)
    }


def bare_value(name: str, value: str) -> str:
    """A setting's value, of a class its name without its module."""
    return value.rpartition(".")[2] if name.endswith(_CLASS) else value


def shown_value(name: str, value: str) -> str:
    """A setting's value for a label: of a class the choice that names it, such as "ffa_lora", as people type it."""
    return choice_name(value) if name.endswith(_CLASS) else value
