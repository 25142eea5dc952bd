"""What secure aggregation and the accountant promise, tried: the sum after drop-outs, epsilon beside Google's.

    python -m experiments.privacy.promises        # under a minute on one core

`Secure aggregation`: eight shops send an adapter of the embedded model's shape, with weights of their own, nothing is
trained, and of each stage two or five shops fail. `Accounting`: what the program says of a schedule of noisy steps, and
what dp-accounting's privacy loss distributions say of it. `Budget`: a shop whose records grow from round to round, and
the noise that it is told to take.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
from dp_accounting.pld import PLDAccountant

from ecc_fed.core.aggregation import Shapes
from ecc_fed.core.records import FineTuneSettings
from ecc_fed.evolution.private_training import PrivateTraining
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.arms import Aggregated
from ecc_fed.federation.limits import ReplyLimits
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.privacy.accounting import NoisySteps, epsilon
from ecc_fed.privacy.record_level import PrivacySettings
from ecc_fed.privacy.secure_aggregation.keys import KEY_BYTES
from ecc_fed.privacy.secure_aggregation.messages import STAGES, Stage
from ecc_fed.runs.federation import run_federation
from experiments.benchmarks.secure_aggregation import MOST_EXAMPLES, SETTINGS, Shops, embedded_shapes
from experiments.paper.table6 import markdown

# What a shop does in each stage.
_WORK: dict[Stage, str] = {"keys": "public_keys", "shares": "shares", "train": "masked", "unmask": "reveal"}
SHOPS = tuple(f"shop_{place:04d}" for place in range(8))
DELTA = 1e-4
SCHEDULES: dict[str, tuple[NoisySteps, ...]] = {
    "4 rounds of 50 steps, 8 of 60 records": (NoisySteps(1.26, 8 / 60, 200),),
    "400 steps, 1 of 25, little noise": (NoisySteps(0.8, 0.04, 400),),
    "records and noise change by round": (
        NoisySteps(3.0, 0.13, 50),
        NoisySteps(1.6, 0.06, 50),
        NoisySteps(1.5, 0.04, 50),
    ),
    "10 steps on all records": (NoisySteps(5.0, 1.0, 10),),
}


class Failing(Shops):
    """Some of the shops say nothing more from a stage on."""

    def __init__(self, shapes: Shapes, folder: Path, fails: Sequence[str], stage: Stage) -> None:
        super().__init__(SHOPS, shapes, folder)
        self._fails, self._stage = fails, stage

    def participant(self, shop_id: str) -> Any:
        """One that fails where it is to."""
        participant = super().participant(shop_id)
        if shop_id not in self._fails:
            return participant
        stage = self._stage

        class Dead:
            def __getattr__(self, name: str) -> Any:
                if name == _WORK[stage]:
                    raise ConnectionError(f"{shop_id} is gone")
                return getattr(participant, name)

        return Dead()


def weighted_mean(shops: Shops, shop_ids: Sequence[str]) -> dict[str, np.ndarray]:
    """In float64, by its definition."""
    updates = [shops.update(shop_id, 1) for shop_id in shop_ids]
    total = sum(update.num_examples for update in updates)
    return {
        name: sum(
            (update.adapter[name].astype(np.float64) * update.num_examples for update in updates), np.zeros(shape)
        )
        / total
        for name, shape in shops.adapter_shapes().items()
    }


def drop_out(shapes: Shapes, stage: Stage, count: int) -> tuple[str, str]:
    """Who counts, and how far the result is from their mean; or why there is none."""
    plan = FederationPlan(
        Aggregated(1, evaluates_base=False),
        FedAvg(),
        limits=ReplyLimits(max_examples=MOST_EXAMPLES),
        secure=SETTINGS,
    )
    with tempfile.TemporaryDirectory() as folder:
        shops = Failing(shapes, Path(folder), SHOPS[:count], stage)
        result = run_federation(plan, SHOPS, lambda _: shops, InProcessHosts())
    record = result.rounds[0]
    if record.skipped is not None:
        return "none", f"no sum: {record.skipped.reason}"
    assert result.state.aggregate is not None
    wanted = weighted_mean(shops, record.shops)
    furthest = max(float(np.abs(result.state.aggregate[name] - wanted[name]).max()) for name in wanted)
    return str(len(record.shops)), f"{furthest:.1e}"


def secure_rows(shapes: Shapes) -> Iterator[list[str]]:
    """A row a stage and number of shops that fail in it."""
    for stage in STAGES:
        for count in (2, 5):
            yield [stage, f"{count} of {len(SHOPS)}", *drop_out(shapes, stage, count)]


def googles(spent: Sequence[NoisySteps]) -> float:
    """Epsilon by dp-accounting's privacy loss distributions."""
    accountant = PLDAccountant()
    for part in spent:
        noise = GaussianDpEvent(part.noise_multiplier)
        step = noise if part.sampling_rate == 1 else PoissonSampledDpEvent(part.sampling_rate, noise)
        accountant.compose(step, part.steps)
    return float(accountant.get_epsilon(DELTA))


def accounting_rows() -> Iterator[list[str]]:
    """A row a schedule."""
    for name, spent in SCHEDULES.items():
        ours, theirs = epsilon(spent, DELTA), googles(spent)
        yield [name, f"{ours:.3f}", f"{theirs:.3f}", f"{ours / theirs - 1:+.1%}"]


def budget_rows(target: float) -> Iterator[list[str]]:
    """A row a round of a shop that learns 20, 60, 100, 140 and 180 records, 50 steps a round; four rounds planned."""
    tuning = FineTuneSettings(steps=50, batch_size=8)
    training = PrivateTraining(target, PrivacySettings(epsilon=target, delta=DELTA), 4 * tuning.steps)
    spent: list[NoisySteps] = []
    for server_round, records in enumerate((20, 60, 100, 140, 180), start=1):
        steps = training.next_steps(spent, records, tuning)
        if steps is None:
            yield [f"{target:g}", str(server_round), str(records), "0", "–", f"{epsilon(spent, DELTA):.3f}"]
            continue
        spent.append(steps)
        cost = f"{epsilon(spent, DELTA):.3f}, {googles(spent):.3f}"
        noise = f"{steps.noise_multiplier:.2f}"
        yield [f"{target:g}", str(server_round), str(records), str(steps.steps), noise, cost]


def main() -> None:
    """Prints the three tables."""
    shapes = embedded_shapes()
    print(f"## Secure aggregation\n\nMasks come of {8 * KEY_BYTES} bits each.\n")
    print(markdown(["stage", "fail in it", "shops in the sum", "furthest from their mean"], list(secure_rows(shapes))))
    print(f"## Accounting\n\ndelta {DELTA:g}.\n")
    print(markdown(["schedule", "epsilon", "dp-accounting", "difference"], list(accounting_rows())))
    print("## Budget\n")
    rows = [row for target in (8.0, 2.0) for row in budget_rows(target)]
    print(markdown(["budget", "round", "records", "steps", "noise multiplier", "epsilon; dp-accounting"], rows))


if __name__ == "__main__":
    main()
