"""A device with real arithmetic and no model: its adapter is pulled towards the shop's own target."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np

from ecc_fed.core.records import AdapterState, EvaluationReport, TrainReport
from ecc_fed.core.seeding import derive_rng

SHAPES = {"base_model.model.q_proj.lora_A.weight": (2, 5), "base_model.model.q_proj.lora_B.weight": (4, 2)}


def make_adapter(*path: str | int) -> dict[str, np.ndarray]:
    rng = derive_rng(7, *path)
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}


def fresh_adapter() -> dict[str, np.ndarray]:
    """As LoRA starts: A random and the same for every shop, B zero."""
    adapter = make_adapter("fresh")
    adapter["base_model.model.q_proj.lora_B.weight"][:] = 0
    return adapter


class FakeDevice:
    """Keeps each shop's adapter and momentum in `folder`, as a device on disk does.

    Behaviour by shop name: `…raises` raises in training, `…lazy` has no examples, `…nan`,
    `…renamed`, `…reshaped`, `…double` hand over a spoilt adapter, `…kills` ends the process in
    `deadly_rounds`.
    """

    def __init__(
        self, shop_ids: tuple[str, ...], folder: str | None = None, deadly_rounds: tuple[int, ...] = (2,)
    ) -> None:
        self.shop_ids = shop_ids
        self.calls: list[tuple[str, str, int, bool]] = []
        self._folder = None if folder is None else Path(folder)
        self._deadly_rounds = deadly_rounds
        self._memory: dict[str, dict[str, np.ndarray]] = {}

    def _load(self, shop_id: str) -> dict[str, np.ndarray]:
        if self._folder is None:
            return self._memory.get(shop_id, {})
        path = self._folder / f"{shop_id}.npz"
        return dict(np.load(path)) if path.exists() else {}

    def _save(self, shop_id: str, state: dict[str, np.ndarray]) -> None:
        if self._folder is None:
            self._memory[shop_id] = state
        else:
            np.savez(self._folder / f"{shop_id}.npz", **state)

    def adapter_of(self, shop_id: str) -> AdapterState:
        state = self._load(shop_id)
        return {name: state[name] for name in SHAPES} if state else fresh_adapter()

    def train(self, shop_id: str, server_round: int, incoming: AdapterState | None) -> TrainReport:
        self.calls.append(("train", shop_id, server_round, incoming is not None))
        if shop_id.endswith("raises"):
            raise RuntimeError(f"no power at {shop_id}\nsecond line")
        if shop_id.endswith("kills") and server_round in self._deadly_rounds:
            os._exit(1)
        adapter = self.adapter_of(shop_id) if incoming is None else incoming
        state, target = self._load(shop_id), make_adapter("target", shop_id)
        new: dict[str, np.ndarray] = {}
        for name, tensor in adapter.items():
            momentum = state.get(f"momentum.{name}", np.zeros_like(tensor))
            momentum = np.float32(0.9) * momentum + (tensor - target[name])
            new[f"momentum.{name}"] = momentum
            new[name] = tensor - np.float32(0.1) * momentum
        self._save(shop_id, new)
        sent = {name: new[name] for name in SHAPES}
        num_examples = 0 if shop_id.endswith("lazy") else 10 + len(shop_id)
        return TrainReport(_spoilt(sent, shop_id), num_examples, {"loss": float(server_round)})

    def evaluate(
        self, shop_id: str, server_round: int, incoming: AdapterState | None, phase: Literal["base", "final"]
    ) -> EvaluationReport:
        self.calls.append((phase, shop_id, server_round, incoming is not None))
        adapter = self.adapter_of(shop_id) if incoming is None else incoming
        if phase == "base":
            adapter = fresh_adapter()
        target = make_adapter("target", shop_id)
        product = [
            side["base_model.model.q_proj.lora_B.weight"] @ side["base_model.model.q_proj.lora_A.weight"]
            for side in (adapter, target)
        ]
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
