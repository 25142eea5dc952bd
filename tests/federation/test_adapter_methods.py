"""Every adapter method through Flower's rounds: files, aggregates and resumed states of the same tensors."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ecc_fed.core.records import AdapterState, Decoding, FineTuneSettings
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.end_model.adapters.files import save_adapter
from ecc_fed.end_model.adapters.settings import METHODS, adapter_settings
from ecc_fed.end_model.engines.opening import open_engine
from ecc_fed.end_model.settings import EndModelSettings
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.evolution.shop_state import load_state
from ecc_fed.federation.aggregation.averaging import weighted_mean
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import FederationResult
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.hosts.settings import HostSettings
from ecc_fed.runs.federation import run_federation
from tests.end_model.tiny_models import save_base
from tests.evolution import fakes
from tests.federation.fakes import aggregated, local

SHOPS = [fakes.shop("a", 4, 4), fakes.shop("b", 3, 2)]
ARGUMENTS = {
    **{name: {"rank": 2, "lora_alpha": 8.0, "lora_dropout": 0.0} for name in ("lora", "rslora", "dora")},
    "prefix_tuning": {"num_virtual_tokens": 3, "encoder_hidden_size": 8},
    "p_tuning_v2": {"num_virtual_tokens": 3},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.set_num_threads(1)
    return save_base(tmp_path_factory.mktemp("base"), "llama")


def _run(
    folder: Path, engine: Any, method: str, base: str, names: list[str], plan: FederationPlan
) -> tuple[FederationResult, dict[str, AdapterState], str]:
    tuning = FineTuneSettings(steps=2, batch_size=2, learning_rate=1e-2)
    settings = fakes.settings(human_share=1.0, fine_tune=tuning, decoding=Decoding(2, sample=False))
    write = partial(save_adapter, settings=adapter_settings(method, **ARGUMENTS[method]), base_path=base)

    def build(shop_ids: tuple[str, ...]) -> ShopDevices:
        shops = [shop for shop in SHOPS if shop.shop_id in shop_ids]
        services = replace(fakes.services(), end_model=engine)
        return ShopDevices(shops, fakes.truth_of(shops), services, settings, RunDirectory(folder), write, seed=0)

    hosts = InProcessHosts()
    result = run_federation(plan, names, build, hosts, settings=HostSettings(shops_per_batch=2))
    adapters = {name: load_state(RunDirectory(folder).shop(name), 2).adapter for name in names}
    return result, adapters, hosts.reports()[0].batch_reason


@pytest.mark.parametrize("method", METHODS)
def test_one_shops_federation_is_its_own_evolution_and_two_shops_meet_in_their_mean(
    tmp_path: Path, base: str, method: str
) -> None:
    engine = open_engine(EndModelSettings(path=base, device="cpu"), adapter_settings(method, **ARGUMENTS[method]))
    _, by_itself, _ = _run(tmp_path / "local", engine, method, base, ["a"], local(2))
    result, alone, _ = _run(tmp_path / "alone", engine, method, base, ["a"], aggregated(2))
    assert all(np.array_equal(by_itself["a"][name], alone["a"][name]) for name in engine.shapes)
    assert result.state.aggregate is not None
    assert all(np.array_equal(result.state.aggregate[name], alone["a"][name]) for name in engine.shapes)

    result, both, reason = _run(tmp_path / "both", engine, method, base, ["a", "b"], aggregated(2))
    assert not result.failures
    last = result.rounds[-1]
    weights = [last.shops[name].num_examples for name in ("a", "b")]
    mean = weighted_mean([both["a"], both["b"]], weights)
    assert result.state.aggregate is not None
    assert all(np.array_equal(result.state.aggregate[name], mean[name]) for name in engine.shapes)
    assert last.aggregation is not None
    assert (last.aggregation.relative_error is None) == (method in ("prefix_tuning", "p_tuning_v2"))
    one_by_one = "the end model serves them one after another" in reason
    assert one_by_one == (method not in ("lora", "rslora"))
