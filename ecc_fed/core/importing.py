"""Imports that take seconds, without the walks that make them longer."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """No garbage collection in the block, which is to import: thousands of new modules walked through time and again
    are a fifth of their import. What is there after the block is never walked through again.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was:
            gc.enable()
