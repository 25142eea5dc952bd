"""A server's step after any aggregator's mean: FedAvgM (Hsu et al. 2019), FedAdagrad, FedAdam and FedYogi (Reddi et
al. 2021, Algorithm 2).

What the mean has moved is taken for the direction of a step, tensor by tensor and number by number:

    Delta_t = mean_t - w_(t-1),    w_t = w_(t-1) + step_t

| class | first moment | second moment | step_t |
|---|---|---|---|
| FedAvgM | m_t = beta m_(t-1) + Delta_t | | eta m_t |
| FedAdagrad | | v_t = v_(t-1) + Delta_t^2 | eta Delta_t / (sqrt(v_t) + tau) |
| FedYogi | m_t = beta_1 m_(t-1) + (1 - beta_1) Delta_t | v_t = v_(t-1) - (1 - beta_2) Delta_t^2 sign(v_(t-1) - Delta_t^2) | eta m_t / (sqrt(v_t) + tau) |
| FedAdam | as FedYogi's | v_t = beta_2 v_(t-1) + (1 - beta_2) Delta_t^2 | eta c_t m_t / (sqrt(v_t) + tau) |

Moments start at 0, and c_t = sqrt(1 - beta_2^t) / (1 - beta_1^t) makes up for it (Kingma & Ba 2015, before Sec. 2.1);
Flower's FedAdam has t + 1 in the place of t. w_0 is the fresh adapter that every shop starts from, which the server
draws from the same seed. Shops that had a warm start have moved away from it before round 1: that counts into Delta_1.
"""  # noqa: E501 (a table)

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ecc_fed.core.aggregation import AdapterUpdate, AggregateReport, AggregatorState
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.ranges import require_number
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.averaging import update_norm
from ecc_fed.federation.aggregation.start import started_from
from ecc_fed.federation.aggregation.steady import check_steady
from ecc_fed.federation.aggregation.wrapper import Wrapper, layers

Matrix = npt.NDArray[np.float64]
# One tensor's moments by name, "m" and "v".
Moments = Mapping[str, Matrix]

# What is the optimizer's own among the tensors and scalars of a state, beside the mean's.
_OWN = "server."
_STEPS = "server.steps"


@dataclass(frozen=True, kw_only=True)
class ServerOptimizer(Wrapper, ABC):
    """Steps from what the server had along the way to `mean`'s aggregate.

    Of the tensors that went up this round alone; others, of a method that exchanges them by turns, wait with their
    moments. The report's error is the mean's, before the step.

    Args:
        mean: makes one adapter of the updates, for all shops, in factors that mean the same from round to round, as
            `check_steady` has it.
        adapter_seed: of the fresh adapter that every shop starts from.
        learning_rate: eta.
    """

    adapter_seed: int
    learning_rate: float
    moments: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        require_number("strategy.learning_rate", self.learning_rate, 0)
        check_steady(type(self).__name__, self.mean)
        if any(isinstance(each, ServerOptimizer) for each in layers(self.mean)):
            raise ConfigError(
                f"strategy {type(self).__name__} around another step of the server: one would take the other's step "
                "for what shops have learned. Take strategy.mean=fedavg, or another mean."
            )

    @abstractmethod
    def step(self, delta: Matrix, moments: Moments, steps: int) -> tuple[Matrix, Moments]:
        """The step, and the moments after it.

        Args:
            delta: Delta_t of one tensor.
            moments: before the step.
            steps: t, counted from 1.
        """

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        """The mean, and the step on it; in fp64, kept as fp32.

        Raises:
            ConfigError: DoRA's magnitudes, or a mean whose tensors change their shapes; as the mean.
        """
        others = {name: tensor for name, tensor in state.tensors.items() if not name.startswith(_OWN)}
        scalars = {name: value for name, value in state.scalars.items() if not name.startswith(_OWN)}
        after, report = self.mean.aggregate(replace(state, tensors=others, scalars=scalars), updates)
        mean, before = after.adapter or {}, state.adapter or {}
        start = self._start({name: mean[name] for name in updates[0].adapter if name in mean}, before)
        own = {name: tensor for name, tensor in state.tensors.items() if name.startswith(_OWN)}
        steps = int(state.scalars.get(_STEPS, 0)) + 1
        adapter = dict(mean)
        for name, tensor in start.items():
            delta = mean[name].astype(np.float64) - tensor
            keys = {slot: f"{_OWN}{slot}.{name}" for slot in self.moments}
            held = {
                slot: own[key].astype(np.float64) if key in own else np.zeros_like(delta) for slot, key in keys.items()
            }
            step, moments = self.step(delta, held, steps)
            # w + step, so written that a step of Delta is the mean bit for bit.
            adapter[name] = (mean[name] + (step - delta)).astype(np.float32)
            own |= {key: moments[slot].astype(np.float32) for slot, key in keys.items()}
        moved = update_norm(adapter, before) if before.keys() == adapter.keys() else None
        told = replace(report, update_norm=moved)
        kept = {**after.scalars, _STEPS: float(steps)}
        return replace(after, adapter=adapter, tensors={**after.tensors, **own}, scalars=kept), told

    def _start(self, mean: AdapterState, before: AdapterState) -> AdapterState:
        for name, tensor in mean.items():
            if name in before and before[name].shape != tensor.shape:
                raise ConfigError(
                    f"strategy {type(self).__name__} cannot go on from {type(self.mean).__name__}: {name} had shape "
                    f"{before[name].shape} and now has {tensor.shape}. Take a strategy.mean that keeps its shapes."
                )
        return started_from(type(self).__name__, mean, before, self.adapter_seed)


@dataclass(frozen=True, kw_only=True)
class FedAvgM(ServerOptimizer):
    """Momentum. With `learning_rate` 1 and `momentum` 0 it is the mean itself.

    Args:
        momentum: beta, 0 up to, not including, 1. Steps in one direction add up to learning_rate / (1 - momentum).
    """

    learning_rate: float = 1.0
    momentum: float = 0.3
    moments: ClassVar[tuple[str, ...]] = ("m",)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("strategy.momentum", self.momentum, 0, _BELOW_ONE)

    def step(self, delta: Matrix, moments: Moments, steps: int) -> tuple[Matrix, Moments]:
        """eta m."""
        m = self.momentum * moments["m"] + delta
        return self.learning_rate * m, {"m": m}


_BELOW_ONE = 1 - 1e-9


@dataclass(frozen=True, kw_only=True)
class FedAdagrad(ServerOptimizer):
    """Steps that get smaller the more a number has moved.

    Args:
        tau: the less, the more a step forgets how far the mean has moved; above 0.
    """

    learning_rate: float = 1e-2
    tau: float = 1e-3
    moments: ClassVar[tuple[str, ...]] = ("v",)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("strategy.tau", self.tau, 1e-12)

    def step(self, delta: Matrix, moments: Moments, steps: int) -> tuple[Matrix, Moments]:
        """eta Delta / (sqrt(v) + tau)."""
        v = moments["v"] + delta**2
        return self.learning_rate * delta / (np.sqrt(v) + self.tau), {"v": v}


@dataclass(frozen=True, kw_only=True)
class FedYogi(ServerOptimizer):
    """Adam's step, with a second moment that grows by no more than it has seen.

    Args:
        beta_1: of the first moment, 0 up to, not including, 1.
        beta_2: of the second, likewise.
        tau: the less, the more a step forgets how far the mean has moved; above 0.
    """

    learning_rate: float = 1e-2
    beta_1: float = 0.9
    beta_2: float = 0.99
    tau: float = 1e-3
    moments: ClassVar[tuple[str, ...]] = ("m", "v")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("strategy.beta_1", self.beta_1, 0, _BELOW_ONE)
        require_number("strategy.beta_2", self.beta_2, 0, _BELOW_ONE)
        require_number("strategy.tau", self.tau, 1e-12)

    def step(self, delta: Matrix, moments: Moments, steps: int) -> tuple[Matrix, Moments]:
        """eta m / (sqrt(v) + tau)."""
        m = self.beta_1 * moments["m"] + (1 - self.beta_1) * delta
        v = self._second(delta**2, moments["v"])
        return self._rate(steps) * m / (np.sqrt(v) + self.tau), {"m": m, "v": v}

    def _second(self, square: Matrix, v: Matrix) -> Matrix:
        grown: Matrix = v - (1 - self.beta_2) * square * np.sign(v - square)
        return grown

    def _rate(self, steps: int) -> float:
        return self.learning_rate


@dataclass(frozen=True, kw_only=True)
class FedAdam(FedYogi):
    """Adam, with its correction of moments that started at 0."""

    def _second(self, square: Matrix, v: Matrix) -> Matrix:
        return self.beta_2 * v + (1 - self.beta_2) * square

    def _rate(self, steps: int) -> float:
        return float(self.learning_rate * (1 - self.beta_2**steps) ** 0.5 / (1 - self.beta_1**steps))
