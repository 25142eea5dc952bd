"""What every engine asks of a job: its schedule, its streams, and where its optimizer stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ecc_fed.core.aggregation import matches
from ecc_fed.core.errors import ConfigError, ModelError
from ecc_fed.core.records import Array, FineTuneJob, OptimizerState
from ecc_fed.core.seeding import derive_seed


def check_job(job: FineTuneJob) -> None:
    """Refuses what cannot be trained.

    Raises:
        ConfigError: names what is wrong with it.
    """
    if job.settings.steps and not job.examples:
        raise ConfigError("fine-tuning needs at least one example; skip a shop that has none, or set steps=0")


def trained_names(job: FineTuneJob, names: Iterable[str]) -> list[str]:
    """The tensors that the job moves, in the order of `names`, all of the adapter's.

    Raises:
        ConfigError: it moves none.
    """
    chosen = [name for name in names if matches(name, job.trained)]
    if not chosen:
        raise ConfigError(f"fine-tuning of {', '.join(job.trained) or 'nothing'} fits no tensor of the adapter")
    return chosen


def anchors(job: FineTuneJob, names: Iterable[str]) -> dict[str, Array]:
    """Where the job pulls tensors by `prox_mu`, by those of `names` that it trains; empty without a pull."""
    if not job.settings.prox_mu or not job.anchor:
        return {}
    return {name: job.anchor[name] for name in names if name in job.anchor and matches(name, job.trained)}


def corrections(job: FineTuneJob, names: Iterable[str]) -> dict[str, Array]:
    """What is added to gradients, by those of `names` that the job trains; empty without a correction."""
    found = job.correction or {}
    return {name: found[name] for name in names if name in found and matches(name, job.trained)}


def learning_rate(job: FineTuneJob, step: int) -> float:
    """The rate of optimizer step t = `step`, counted from 0 over the shop's life.

    learning_rate max(0, 1 - t / decay_steps), or learning_rate where it does not decay.
    """
    settings = job.settings
    if not settings.linear_decay:
        return settings.learning_rate
    last = settings.steps if job.decay_steps is None else job.decay_steps
    return settings.learning_rate * max(0.0, 1.0 - step / last)


def dropout_seed(seed: int) -> int:
    """Seed of a job's dropout stream."""
    return derive_seed(seed, "dropout")


@dataclass(frozen=True, slots=True)
class Optimizer:
    """Where a job's optimizer stands.

    Attributes:
        steps: taken so far, by which the learning rate decays.
        since: at which of them the moments began; what corrects them counts from there.
        first, second: both moments by tensor.
    """

    steps: int
    since: int
    first: Mapping[str, Array]
    second: Mapping[str, Array]

    def after(self, steps: int) -> dict[str, Array]:
        """The counts of a state so many steps later, as a state holds them."""
        counts = {"step": np.array(self.steps + steps, np.float32)}
        return {**counts, "since": np.array(self.since, np.float32)} if self.since else counts


def read_optimizer(state: OptimizerState | None, shapes: Mapping[str, tuple[int, ...]]) -> Optimizer:
    """Steps taken and both moments; zeros where there is no state yet.

    Raises:
        ModelError: a state that was not made for tensors of these shapes.
    """
    if state is None:
        zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        return Optimizer(0, 0, zeros, zeros)
    for name, shape in shapes.items():
        for slot in (f"m.{name}", f"v.{name}"):
            if slot not in state or tuple(state[slot].shape) != shape:
                raise ModelError(
                    f"the optimizer state has no {slot} of shape {shape}; it belongs to another adapter: "
                    "start the optimizer afresh"
                )
    if "step" not in state:
        raise ModelError("the optimizer state has no step; start the optimizer afresh")
    first, second = ({name: state[f"{slot}.{name}"] for name in shapes} for slot in ("m", "v"))
    return Optimizer(int(state["step"]), int(state.get("since", 0)), first, second)
