"""Where the time of a training step goes, by parts of the engine.

On a GPU a part's time is that between two marks on the device's stream; on a CPU it is wall time. Parts within parts
count for themselves: dequantization is no part of the product that it is for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ecc_fed.end_model.engines.shared import attention, lora_product, training
from ecc_fed.end_model.engines.shared.frozen_matrix import FrozenMatrix

PARTS = ("products", "dequantization", "adapters", "attention", "optimizer")


class _Clock:
    """Marks, and the intervals between them."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._here = threading.local()  # backward passes have a thread of their own on a GPU
        self.intervals: list[tuple[str, int | None, Any, Any]] = []  # part, the interval around it, start, stop

    def _mark(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        mark = torch.cuda.Event(enable_timing=True)
        mark.record()
        return mark

    def wrapped(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose calls are intervals."""

        def call(*given: Any, **named: Any) -> Any:
            around = getattr(self._here, "place", None)
            place = len(self.intervals)
            self.intervals.append((part, around, self._mark(), None))
            self._here.place = place
            try:
                return function(*given, **named)
            finally:
                self._here.place = around
                self.intervals[place] = (*self.intervals[place][:3], self._mark())

        return call

    def seconds(self) -> dict[str, float]:
        """Of every part, without the parts in it."""
        if self._cuda:
            torch.cuda.synchronize()
        found = dict.fromkeys(PARTS, 0.0)
        for part, around, start, stop in self.intervals:
            taken = start.elapsed_time(stop) / 1e3 if self._cuda else stop - start
            found[part] += taken
            if around is not None:
                found[self.intervals[around][0]] -= taken
        return found


@contextmanager
def step_clock(device: torch.device) -> Iterator[_Clock]:
    """Within the block the engine's parts are timed."""
    clock = _Clock(device)
    parts: list[tuple[str, Any, str]] = [
        ("products", FrozenMatrix, "product"),
        ("products", FrozenMatrix, "transposed"),
        ("dequantization", FrozenMatrix, "weight"),
        ("adapters", lora_product, "lora_product"),
        ("adapters", lora_product, "_adapter_backward"),
        ("optimizer", training, "update"),
    ]
    for owner in (attention._Attention, attention._AttentionAtOnce):
        parts += [("attention", owner, "forward"), ("attention", owner, "backward")]
    before = [(owner, name, vars(owner)[name]) for _, owner, name in parts]
    for part, owner, name in parts:
        own = clock.wrapped(part, getattr(owner, name))
        setattr(owner, name, staticmethod(own) if isinstance(vars(owner)[name], staticmethod) else own)
    try:
        yield clock
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)
