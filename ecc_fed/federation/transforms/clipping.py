"""Clipping an update: no shop moves the server's adapter by more than a bound (McMahan et al. 2018, Sec. 2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from ecc_fed.core.aggregation import AdapterUpdate
from ecc_fed.core.ranges import require
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import bounded


@dataclass(frozen=True, slots=True)
class ClipUpdate:
    """start + (update - start) min(1, C / ||update - start||), L2 norm over all tensors that go up.

    Args:
        clipping_norm: C, above 0.

    Raises:
        ConfigError: C out of range.
    """

    clipping_norm: float
    sums_only: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require(self.clipping_norm > 0, "update.clip.clipping_norm", self.clipping_norm, "above 0")

    def on_device(self, update: AdapterUpdate, start: AdapterState) -> AdapterUpdate:
        """The update itself where it is within the bound."""
        within = bounded(update.adapter, start, self.clipping_norm)
        return update if within is update.adapter else replace(update, adapter=within)

    def on_server(self, updates: Sequence[AdapterUpdate]) -> list[AdapterUpdate]:
        """As they came."""
        return list(updates)
