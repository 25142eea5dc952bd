"""Imports that take a host seconds."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from ecc_fed.core.importing import collector_paused


def import_at_once(names: Iterable[str]) -> None:
    """Imports modules, such as those of models."""
    with collector_paused():
        for name in names:
            import_module(name)
