"""A device with real arithmetic and no model: its adapter is pulled towards the shop's own target."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np

from ecc_fed.core.aggregation import WHOLE, AdapterUpdate, Exchange, Shapes, matches, select
from ecc_fed.core.protocols import Aggregator, UpdateTransform
from ecc_fed.core.records import AdapterState, EvaluationReport, PublicSet
from ecc_fed.core.seeding import derive_rng
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.arms import Aggregated, Local, Personalized
from ecc_fed.federation.plan import FederationPlan

A, B = "base_model.model.q_proj.lora_A.weight", "base_model.model.q_proj.lora_B.weight"
SHAPES = {A: (2, 5), B: (4, 2)}


def make_adapter(*path: str | int) -> dict[str, np.ndarray]:
    rng = derive_rng(7, *path)
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}


def fresh_adapter() -> dict[str, np.ndarray]:
    """As LoRA starts: A random and the same for every shop, B zero."""
    adapter = make_adapter("fresh")
    adapter[B][:] = 0
    return adapter


def local(server_rounds: int) -> FederationPlan:
    return FederationPlan(Local(server_rounds), FedAvg())


def aggregated(
    server_rounds: int, aggregator: Aggregator | None = None, *transforms: UpdateTransform, evaluates_base: bool = True
) -> FederationPlan:
    return FederationPlan(Aggregated(server_rounds, evaluates_base=evaluates_base), aggregator or FedAvg(), transforms)


def personalized(server_rounds: int, personal_rounds: int) -> FederationPlan:
    return FederationPlan(Personalized(server_rounds, personal_rounds), FedAvg())


class FakeDevice:
    """Keeps each shop's adapter and momentum in `folder`, as a device on disk does.

    A round that is asked for twice starts from the state of the round before it both times.

    Behaviour by shop name: `…raises` raises in training, `…lazy` has no examples, `…nan`,
    `…renamed`, `…reshaped`, `…double` hand over a spoilt adapter, `…kills` ends the process in
    `deadly_rounds`, the first `deaths` times that such a round is asked for.
    """

    def __init__(
        self,
        shop_ids: tuple[str, ...],
        folder: str | None = None,
        deadly_rounds: tuple[int, ...] = (2,),
        deaths: int = 1,
    ) -> None:
        self.shop_ids = shop_ids
        self.calls: list[tuple[str, str, int, bool]] = []
        self._folder = None if folder is None else Path(folder)
        self._deadly_rounds = deadly_rounds
        self._deaths = deaths
        self._memory: dict[str, dict[int, dict[str, np.ndarray]]] = {}

    def _load(self, shop_id: str, before: int = 1000) -> dict[str, np.ndarray]:
        """The state of the newest round before the one given."""
        if self._folder is None:
            rounds = self._memory.get(shop_id, {})
        else:
            rounds = {int(path.suffixes[-2][1:]): path for path in self._folder.glob(f"{shop_id}.*.npz")}
        newest = max((server_round for server_round in rounds if server_round < before), default=None)
        if newest is None:
            return {}
        found = rounds[newest]
        return dict(np.load(found)) if isinstance(found, Path) else found

    def _save(self, shop_id: str, server_round: int, state: dict[str, np.ndarray]) -> None:
        if self._folder is None:
            self._memory.setdefault(shop_id, {})[server_round] = state
        else:
            np.savez(self._folder / f"{shop_id}.{server_round}.npz", **state)

    def _die(self, server_round: int) -> None:
        """Ends the process, unless it has died of this round often enough."""
        assert self._folder is not None, "deaths are counted on disk"
        grave = self._folder / f"deaths_{server_round}"
        died = grave.stat().st_size if grave.exists() else 0
        if died < self._deaths:
            grave.write_text("x" * (died + 1))
            os._exit(1)

    def adapter_of(self, shop_id: str, before: int = 1000) -> AdapterState:
        state = self._load(shop_id, before)
        return {name: state[name] for name in SHAPES} if state else fresh_adapter()

    def adapter_shapes(self) -> Shapes:
        return SHAPES

    def train(
        self,
        shop_id: str,
        server_round: int,
        incoming: AdapterState | None,
        exchange: Exchange = WHOLE,
        control: AdapterState | None = None,
        public: PublicSet | None = None,
    ) -> AdapterUpdate:
        self.calls.append(("train", shop_id, server_round, incoming is not None))
        if shop_id.endswith("raises"):
            raise RuntimeError(f"no power at {shop_id}\nsecond line")
        if shop_id.endswith("kills") and server_round in self._deadly_rounds:
            self._die(server_round)
        adapter = {**self.adapter_of(shop_id, server_round), **(incoming or {})}
        state, target = self._load(shop_id, server_round), make_adapter("target", shop_id)
        new: dict[str, np.ndarray] = {}
        for name, tensor in adapter.items():
            new[name] = tensor
            if not matches(name, exchange.train):
                continue
            momentum = state.get(f"momentum.{name}", np.zeros_like(tensor))
            momentum = np.float32(0.9) * momentum + (tensor - target[name])
            new[f"momentum.{name}"] = momentum
            new[name] = tensor - np.float32(0.1) * momentum
        self._save(shop_id, server_round, new)
        sent = dict(select({name: new[name] for name in SHAPES}, exchange.up))
        num_examples = 0 if shop_id.endswith("lazy") else 10 + len(shop_id)
        adapter = _spoilt(sent, shop_id) if sent else {}
        return AdapterUpdate(shop_id, server_round, adapter, num_examples, 1.0, {"loss": float(server_round)})

    def evaluate(
        self, shop_id: str, server_round: int, incoming: AdapterState | None, phase: Literal["base", "final"]
    ) -> EvaluationReport:
        self.calls.append((phase, shop_id, server_round, incoming is not None))
        adapter = {**self.adapter_of(shop_id), **(incoming or {})}
        if phase == "base":
            adapter = fresh_adapter()
        target = make_adapter("target", shop_id)
        product = [side[B] @ side[A] for side in (adapter, target)]
        return EvaluationReport(3, {"distance": float(np.linalg.norm(product[0] - product[1]))})


def _spoilt(adapter: dict[str, np.ndarray], shop_id: str) -> dict[str, np.ndarray]:
    first = next(iter(SHAPES))
    if shop_id.endswith("nan"):
        adapter[first] = adapter[first].copy()
        adapter[first][0, 0] = np.nan
    if shop_id.endswith("renamed"):
        adapter["another.lora_A.weight"] = adapter.pop(first)
    if shop_id.endswith("reshaped"):
        adapter[first] = adapter[first].T
    if shop_id.endswith("double"):
        adapter[first] = adapter[first].astype(np.float64)
    return adapter


def build_fake(shop_ids: tuple[str, ...]) -> FakeDevice:
    return FakeDevice(shop_ids)
