"""The YAML that comes with the package: where it lies, and what its choices are called."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import yaml

import ecc_fed


def conf_dir() -> Path:
    """Where the shipped YAML lies: inside the installed package, or beside it in a source tree."""
    package = Path(ecc_fed.__file__).parent
    inside, beside = package / "conf", package.parent / "conf"
    return inside if inside.is_dir() else beside


def choice_name(class_path: str) -> str:
    """What people type for a class, such as "ffa_lora"; of one that no choice names alone, its own name, spelled so."""
    own = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", class_path.rpartition(".")[2]).lower()
    return _choices().get(class_path, own)


@functools.cache
def _choices() -> Mapping[str, str]:
    """By class path, the choice that names it; without classes that several choices share."""
    named = [
        (str(node["_target_"]), path.stem)
        for path in sorted(conf_dir().glob("*/*.yaml"))
        if isinstance(node := yaml.safe_load(path.read_text(encoding="utf-8")), dict) and "_target_" in node
    ]
    counts = Counter(target for target, _ in named)
    return {target: name for target, name in named if counts[target] == 1}
