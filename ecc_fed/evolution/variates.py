"""A shop's control variate over one round: what corrects its steps, what becomes of it (`core.control_variates`)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ecc_fed.core.aggregation import Exchange, matches
from ecc_fed.core.control_variates import change_to, correction, moved
from ecc_fed.core.records import AdapterState
from ecc_fed.end_model.adapters.tensors import widened
from ecc_fed.evolution.loop import Learned


@dataclass(frozen=True, slots=True)
class ControlVariate:
    """What a shop keeps of it.

    Attributes:
        own: c_i, of what travels.
        change: by how much the last round has moved it: goes up, and again where it is asked for again.
    """

    own: AdapterState = field(default_factory=dict)
    change: AdapterState = field(default_factory=dict)


class RoundVariate:
    """One round's work with it: c and c_i stay while the shop's cycles add up their gradients.

    Args:
        before: the shop's.
        server: c; None: it has not begun.
        start: the tensors that will leave, as they are before the round.
        exchange: what trains and leaves.
        rank: of the whole adapter, where a part of its ranks travels; None: all of them do.
    """

    def __init__(
        self,
        before: ControlVariate,
        server: AdapterState | None,
        start: AdapterState,
        exchange: Exchange,
        rank: int | None = None,
    ) -> None:
        self._before = before
        self._zeros = {name: np.zeros_like(each) for name, each in start.items() if matches(name, exchange.train)}
        added = correction(server or {}, before.own)
        # What is a shop's own is corrected by nothing.
        self.correction = added if rank is None else widened(added, rank)
        self._total: dict[str, npt.NDArray[np.float64]] = {}
        self._steps = 0

    def add(self, learned: Learned, leaving: AdapterState) -> None:
        """One cycle's mean gradient, of which `leaving` is the part that travels."""
        steps = len(learned.losses)
        for name, gradient in leaving.items():
            self._total[name] = self._total.get(name, np.zeros(gradient.shape)) + steps * gradient.astype(np.float64)
        self._steps += steps

    def after(self) -> ControlVariate:
        """The shop's after the round; unmoved where it took no step."""
        if not self._steps:
            return ControlVariate(self._before.own, self._zeros)
        mean = {name: (total / self._steps).astype(np.float32) for name, total in self._total.items()}
        change = change_to(mean, self._before.own)
        return ControlVariate(moved(self._before.own, change), change)
