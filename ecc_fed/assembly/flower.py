"""A run under Flower's own engines: Flower's run config as overrides of ours, the same for server and shops."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecc_fed.assembly.compose import compose_run, to_run_config, to_yaml
from ecc_fed.assembly.overrides_text import split_overrides
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.run_directory import RunDirectory

# Packages whose classes a run may name, separated by commas. No key of the run config, which comes over the wire: whose
# machine it is says whose code it runs.
ALLOW_VARIABLE = "ECC_FED_ALLOW"
# Keys of Flower's run config -> what they set. Empty, 0 or missing leaves it as conf and `overrides` say.
SETTINGS = {"arm": "arm", "server-rounds": "evolution.server_rounds", "personal-rounds": "arm.personal_rounds"}


def flower_overrides(run_config: Mapping[str, Any]) -> list[str]:
    """Hydra overrides: those of `overrides`, by `split_overrides`, then those of `SETTINGS`, which win.

    Raises:
        ConfigError: a quote or a bracket in `overrides` that is never closed.
    """
    named = [f"{setting}={run_config[key]}" for key, setting in SETTINGS.items() if run_config.get(key)]
    return [*split_overrides(str(run_config.get("overrides", ""))), *named]


# How another folder is chosen under Flower.
ELSEWHERE = (
    'run-dir="FOLDER" in the run config; under Flower, resume="ID" goes on with the run of that id in claim.json'
)


def run_directory(run_config: Mapping[str, Any]) -> RunDirectory:
    """The run's folder on this machine."""
    return RunDirectory(Path(str(run_config.get("run-dir") or "runs/flower")).absolute())


def run_id_of(run_config: Mapping[str, Any], flower_run_id: int) -> str:
    """The run that this one goes on with, or else Flower's own id."""
    return str(run_config.get("resume") or flower_run_id)


def config_text(run_config: Mapping[str, Any]) -> str:
    """The run's config as YAML."""
    return to_yaml(compose_run(flower_overrides(run_config)))


def config_from_run_config(run_config: Mapping[str, Any]) -> RunConfig:
    """The run's config.

    Raises:
        ConfigError: the overrides do not compose, hold a value out of range, or name a class of a package that
            `ECC_FED_ALLOW` does not.
    """
    allowed = [name.strip() for name in os.environ.get(ALLOW_VARIABLE, "").split(",") if name.strip()]
    return to_run_config(compose_run(flower_overrides(run_config)), allowed)
