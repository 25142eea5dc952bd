"""Imports that take a host seconds."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from importlib import import_module


def import_at_once(names: Iterable[str]) -> None:
    """Imports modules, such as those of models."""
    gc.disable()  # walking through thousands of new modules time and again takes a fifth of their import
    try:
        for name in names:
            import_module(name)
    finally:
        gc.freeze()
        gc.enable()
