"""Many runs composed together: what their groups come to is composed once for each choice of groups.

Hydra reads and merges some twenty files for a run, which takes it a third of a second; that the next run has another
seed takes it as long again. Hydra applies values such as `seed=3` last, upon what the chosen groups have come to
(`ConfigLoaderImpl._load_configuration_impl`), so that a copy of the latter serves all runs that choose alike.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from ecc_fed.assembly.compose import compose_run
from ecc_fed.assembly.overrides import readable
from ecc_fed.core.shipped import conf_dir


class Composer:
    """Composes as `compose_run` does.

    The folders are taken to stay as they are while it lives.

    Args:
        config_dirs: the user's own YAML.
    """

    def __init__(self, config_dirs: Sequence[str] = ()) -> None:
        self._config_dirs = tuple(config_dirs)
        self._composed: dict[tuple[str, ...], DictConfig] = {}
        self._parsed: dict[str, Override] = {}
        self._groups: dict[str, bool] = {}

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """A config of the caller's own.

        Raises:
            ConfigError: as `compose_run`.
        """
        try:
            choices, values = self._parts(overrides)
            if choices not in self._composed:
                self._composed[choices] = compose_run(choices, self._config_dirs)
            config = copy.deepcopy(self._composed[choices])
            for value in values:
                _set(config, value)
        except Exception:  # whatever it is, Hydra finds it as well and says it better
            return compose_run(overrides, self._config_dirs)
        return config

    def _parts(self, overrides: Sequence[str]) -> tuple[tuple[str, ...], list[Override]]:
        """The overrides that choose groups, and those that set values upon them, each in their order.

        Raises:
            ValueError: one is neither by itself: it may be about Hydra, a package, or a group's content as a whole.
            OverrideParseException: one cannot be read.
        """
        choices: list[str] = []
        values: list[Override] = []
        for text in overrides:
            if text not in self._parsed:
                self._parsed[text] = OverridesParser.create().parse_override(readable(text))
            override = self._parsed[text]
            key = override.key_or_group
            if override.is_hydra_override() or override.package is not None or override.is_sweep_override():
                raise ValueError(text)
            if not self._is_group(key):
                values.append(override)
            elif isinstance(override.value(), str | list):
                choices.append(text)
            else:
                raise ValueError(text)
        return tuple(choices), values

    def _is_group(self, key: str) -> bool:
        if key not in self._groups:
            folders = (conf_dir(), *map(Path, self._config_dirs))
            self._groups[key] = any((folder / key).is_dir() for folder in folders)
        return self._groups[key]


def _set(config: DictConfig, override: Override) -> None:
    """As Hydra does.

    Raises:
        ValueError: it removes something, or adds what is there.
        OmegaConfBaseException: there is no such setting, or its value is of the wrong type.
    """
    key, value = override.key_or_group, override.value()
    if override.is_delete():
        raise ValueError(override.input_line)
    if override.is_add():
        there = OmegaConf.select(config, key, throw_on_missing=False) is not None
        if there and not isinstance(value, dict | list):
            raise ValueError(override.input_line)
    adds = override.is_add() or override.is_force_add()
    OmegaConf.update(config, key, value, merge=True, force_add=adds)
