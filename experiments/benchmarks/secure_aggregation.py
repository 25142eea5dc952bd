"""What secure aggregation takes a round, in seconds and bytes, beside the same round in the clear.

    python -m experiments.benchmarks.secure_aggregation [--shops 8,64,256] [--json FILE]

Shops without a model, which send an adapter of the embedded model's shape, all in this process, one after another:
the messages are Flower's own, every stage is played, nothing is trained. `device` is one shop's own work in a round,
`server` what the server takes to make the sum of what it holds; a round's other seconds go into messages, and into
sessions on disk. `stock` is one device's same work by Flower's own primitives (`flwr.common.secure_aggregation`:
shares, quantisation, masks of 32 bits of a seed), and the server's removal of all own masks by them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from flwr.common.secure_aggregation.crypto.shamir import combine_shares, create_shares
from flwr.common.secure_aggregation.quantization import quantize
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen

from ecc_fed.assembly.build import base_path
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.core.aggregation import AdapterUpdate, Exchange, Shapes
from ecc_fed.core.records import AdapterState, EvaluationReport, PublicSet
from ecc_fed.core.seeding import derive_rng
from ecc_fed.end_model.engines.reference.shapes import adapter_shapes
from ecc_fed.federation.aggregation.averaging import weighted_mean
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.arms import Aggregated
from ecc_fed.federation.limits import ReplyLimits
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.secure_aggregation import round as played
from ecc_fed.federation.secure_aggregation.vectors import length_of
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.privacy.secure_aggregation.participant import Masking, Participant
from ecc_fed.privacy.secure_aggregation.settings import SecureAggregationSettings
from ecc_fed.runs.federation import run_federation

MOST_EXAMPLES = 640
SETTINGS = SecureAggregationSettings(enabled=True)


def embedded_shapes() -> Shapes:
    """Of the embedded model's adapter."""
    config = to_run_config(compose_run([]))
    return adapter_shapes(base_path(config), config.adapter.settings())


class Shops:
    """Satisfies `Device`: every shop sends the same drawn numbers, turned by its place."""

    def __init__(self, shop_ids: tuple[str, ...], shapes: Shapes, folder: Path | None) -> None:
        self.shop_ids = shop_ids
        self._shapes = shapes
        self._folder = folder
        self._masking = Masking(SETTINGS, 0)
        self.device_seconds = 0.0
        rng = derive_rng(0, "benchmark")
        self._drawn = {name: (0.1 * rng.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}

    def adapter_shapes(self) -> Shapes:
        """The same for all."""
        return self._shapes

    def participant(self, shop_id: str) -> Participant | None:
        """One whose seconds are counted."""
        return None if self._folder is None else self._timed(self._masking.participant(shop_id, self._folder / shop_id))

    def _timed(self, participant: Participant) -> Any:
        shops = self

        class Timed:
            uniform = participant.uniform

            def __getattr__(self, name: str) -> Any:
                method = getattr(participant, name)

                def call(*arguments: Any) -> Any:
                    started = time.perf_counter()
                    try:
                        return method(*arguments)
                    finally:
                        shops.device_seconds += time.perf_counter() - started

                return call

        return Timed()

    def update(self, shop_id: str, server_round: int) -> AdapterUpdate:
        """What a shop sends."""
        place = self.shop_ids.index(shop_id)
        adapter = {name: np.roll(tensor, place) for name, tensor in self._drawn.items()}
        return AdapterUpdate(shop_id, server_round, adapter, 1 + place % MOST_EXAMPLES)

    def train(
        self,
        shop_id: str,
        server_round: int,
        incoming: AdapterState | None,
        exchange: Exchange,
        control: AdapterState | None = None,
        public: PublicSet | None = None,
    ) -> AdapterUpdate:
        """Nothing is trained."""
        return self.update(shop_id, server_round)

    def evaluate(
        self, shop_id: str, server_round: int, incoming: AdapterState | None, phase: Literal["base", "final"]
    ) -> EvaluationReport:
        """Nothing to answer."""
        return EvaluationReport(0)


@contextmanager
def timed_sum() -> Iterator[list[float]]:
    """Counts the seconds of the server's `unmasked`."""
    seconds, original = [0.0], played.unmasked

    def unmasked(*arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(*arguments)
        finally:
            seconds[0] += time.perf_counter() - started

    played.unmasked = unmasked
    try:
        yield seconds
    finally:
        played.unmasked = original


def measure(count: int, shapes: Shapes, secure: bool) -> dict[str, Any]:
    """One round of `count` shops: its seconds, the bytes of one shop, and how far the result is from the mean."""
    shop_ids = tuple(f"shop_{place:04d}" for place in range(count))
    limits = ReplyLimits(max_examples=MOST_EXAMPLES)
    plan = FederationPlan(
        Aggregated(1, evaluates_base=False), FedAvg(), limits=limits, secure=SETTINGS if secure else None
    )
    with tempfile.TemporaryDirectory() as folder, timed_sum() as server_seconds:
        shops = Shops(shop_ids, shapes, Path(folder) if secure else None)
        result = run_federation(plan, shop_ids, lambda _: shops, InProcessHosts())
    record = result.rounds[0]
    assert record.skipped is None and not record.failures, (record.skipped, record.failures)
    updates = [shops.update(shop_id, 1) for shop_id in shop_ids]
    exact = weighted_mean([each.adapter for each in updates], [float(each.num_examples) for each in updates])
    aggregate = result.state.aggregate
    assert aggregate is not None and record.aggregation is not None
    found: dict[str, Any] = {
        "round_seconds": record.seconds,
        "mean_seconds": record.aggregation.server_seconds,
        "max_difference": max(float(np.abs(aggregate[name] - exact[name]).max()) for name in exact),
    }
    for direction in ("up", "down"):
        kinds = {e.kind for e in record.traffic if e.direction == direction}
        found[f"{direction}_bytes"] = {
            kind: sum(e.num_bytes for e in record.traffic if (e.kind, e.direction) == (kind, direction)) / count
            for kind in sorted(kinds)
        }
    if secure:
        found["device_seconds"] = shops.device_seconds / count
        found["server_seconds"] = server_seconds[0]
        found["neighbours"] = SETTINGS.neighbours_of(count)
    return found


def stock(count: int, numbers: int) -> dict[str, float]:
    """One device's work by Flower's primitives, of as many neighbours, and the server's with every own mask."""
    neighbours = SETTINGS.neighbours_of(count)
    threshold, seed = SETTINGS.threshold_of(neighbours + 1), bytes(range(32))
    values = [np.linspace(-1, 1, numbers)]
    started = time.perf_counter()
    for _ in range(2):
        shares = create_shares(seed, threshold, neighbours + 1)
    quantize(values, SETTINGS.clipping_range, 1 << 22)
    for _ in range(neighbours + 1):
        pseudo_rand_gen(seed, 1 << 32, [(numbers,)])
    device = time.perf_counter() - started
    started = time.perf_counter()
    combine_shares(shares[:threshold])
    pseudo_rand_gen(seed, 1 << 32, [(numbers,)])
    return {"device_seconds": device, "server_seconds": count * (time.perf_counter() - started)}


def figures(count: int, shapes: Shapes) -> dict[str, Any]:
    """All of one number of shops."""
    return {
        "plain": measure(count, shapes, secure=False),
        "secure": measure(count, shapes, secure=True),
        "stock": stock(count, length_of(shapes)),
    }


def line(count: int, found: Mapping[str, Any]) -> str:
    """A row of the table."""
    plain, secure, theirs = found["plain"], found["secure"], found["stock"]
    up, clear = (sum(each["up_bytes"].values()) for each in (secure, plain))
    own = secure["up_bytes"]["secure_aggregation"], secure["down_bytes"]["secure_aggregation"]
    return (
        f"| {count} | {secure['neighbours']} | {plain['round_seconds']:.2f} | {secure['round_seconds']:.2f} | "
        f"{secure['device_seconds']:.3f} | {theirs['device_seconds']:.3f} | {secure['server_seconds']:.2f} | "
        f"{theirs['server_seconds']:.2f} | {clear / 1000:.0f} | {up / 1000:.0f} | {own[0] / 1000:.1f}, "
        f"{own[1] / 1000:.1f} | {secure['max_difference']:.1e} |"
    )


def main(arguments: list[str] | None = None) -> None:
    """Measures one number of shops after another, prints the table, writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shops", default="8,64,256", help="how many, default 8,64,256")
    parser.add_argument("--json", type=Path, help="where the figures go")
    chosen = parser.parse_args(arguments)
    shapes = embedded_shapes()
    print(f"{length_of(shapes)} numbers an adapter")
    print(
        "| shops | neighbours | a round in the clear, s | masked, s | one device, s | stock | the sum, s | stock | "
        "kB up a shop, clear | masked | of it the stages', up, down | furthest from the mean |"
    )
    print("|" + "---|" * 12)
    found = {}
    for count in map(int, chosen.shops.split(",")):
        found[count] = figures(count, shapes)
        print(line(count, found[count]), flush=True)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
