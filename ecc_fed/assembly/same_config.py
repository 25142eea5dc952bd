"""Whether two runs have one config, and where they differ.

What study a run was part of (`study`) is no setting of the run: a study may get more seeds, arms and methods, and keeps
the runs that it has.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import yaml

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.plain_yaml import LOADER, check_plain

_SHOWN = 10
_ABSENT = "not set"


def _loaded(text: str) -> Any:
    try:
        check_plain(text)
        found = yaml.load(text, Loader=LOADER)
    except yaml.YAMLError as error:
        raise ConfigError(f"The config that a run left cannot be read: {error}") from error
    return {name: value for name, value in found.items() if name != "study"} if isinstance(found, dict) else found


def config_digest(text: str) -> str:
    """SHA-256 over what a config says; how its YAML is laid out does not count."""
    plain = json.dumps(_loaded(text), sort_keys=True, default=str)
    return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {key: of for name, each in value.items() for key, of in _flat(each, f"{path}.{name}").items()}
    return {path.removeprefix("."): value}


def differences(before: str, now: str) -> list[str]:
    """The settings in which two configs differ, with both values; the first few of many."""
    old, new = (_flat(_loaded(text)) for text in (before, now))
    told = [
        f"{name} was {old.get(name, _ABSENT)} and is {new.get(name, _ABSENT)}"
        for name in sorted({*old, *new})
        if old.get(name, _ABSENT) != new.get(name, _ABSENT)
    ]
    return told if len(told) <= _SHOWN else [*told[:_SHOWN], f"{len(told) - _SHOWN} more differ"]
