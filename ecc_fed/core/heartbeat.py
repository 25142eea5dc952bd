"""A sign of life: what works long counts up after every step, so that work can be told from standing still.

Counted in this process alone, by all of its threads; a count that two of them make at once may be one.
"""

from __future__ import annotations

_beats = 0


def beat() -> None:
    """One more step is done: of an optimizer, of a reply, of a batch, of a call to the cloud."""
    global _beats
    _beats += 1


def beats() -> int:
    """Steps so far; only that it moves means anything."""
    return _beats
