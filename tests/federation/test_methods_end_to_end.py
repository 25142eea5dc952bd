"""Every method on low-rank pairs through Flower's rounds, with a real engine: what trains, travels and is kept."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ecc_fed.assembly.build import _write
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.federation import build_aggregator
from ecc_fed.core.aggregation import LORA_A, LORA_B, adapter_rank, select
from ecc_fed.core.frozen_part import FROZEN, frozen_part
from ecc_fed.core.protocols import Aggregator
from ecc_fed.core.records import AdapterState, Decoding, FineTuneSettings
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.core.seeding import adapter_seed
from ecc_fed.end_model.adapters.files import load_adapter
from ecc_fed.end_model.adapters.settings import adapter_settings, dealt
from ecc_fed.end_model.engines.opening import open_engine
from ecc_fed.end_model.settings import EndModelSettings
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.evolution.shop_state import load_state
from ecc_fed.evolution.uplink import Uplink
from ecc_fed.federation.limits import ReplyLimits
from ecc_fed.federation.results import FederationResult
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.hosts.settings import HostSettings
from ecc_fed.runs.federation import run_federation
from tests.end_model.tiny_models import save_base
from tests.evolution import fakes
from tests.federation.aggregation.dense import added
from tests.federation.fakes import aggregated

SHOPS = [fakes.shop("a", 4, 4), fakes.shop("b", 3, 2)]
ROUNDS = 2
METHODS = (
    "ffa_lora",
    "fedsa_lora",
    "rolora",
    "fedsvd",
    "flexlora",
    "florist",
    "lora_fair",
    "fedrot_lora",
    "hetlora",
    "flora",
    "fedex_lora",
    "scaffold",
)
EXACT = ("ffa_lora", "rolora", "fedsvd", "flora", "fedex_lora")
LORA = adapter_settings("lora", rank=2, lora_alpha=8.0, lora_dropout=0.0)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.set_num_threads(1)
    return save_base(tmp_path_factory.mktemp("base"), "llama")


@pytest.fixture(scope="module")
def engine(base: str) -> Any:
    return open_engine(EndModelSettings(path=base, device="cpu"), LORA)


def shipped(strategy: str) -> Aggregator:
    """As conf/strategy has it, for this rank and lora_alpha."""
    overrides = [f"strategy={strategy}", "adapter.rank=2", "adapter.lora_alpha=8"]
    return build_aggregator(to_run_config(compose_run(overrides)))


def play(
    folder: Path,
    engine: Any,
    base: str,
    aggregator: Aggregator,
    names: tuple[str, ...] = ("a", "b"),
    ranks: Mapping[str, int] | None = None,
    alphas: tuple[float, ...] = (),
) -> tuple[FederationResult, Mapping[int, Mapping[str, AdapterState]]]:
    """The run, and every shop's adapter as it was saved after each round."""
    tuning = FineTuneSettings(steps=2, batch_size=2, learning_rate=1e-2)
    settings = fakes.settings(human_share=1.0, fine_tune=tuning, decoding=Decoding(2, sample=False))
    write = partial(_write, LORA, base)
    factors = tuple(alpha / LORA.lora_alpha for alpha in alphas)

    def build(shop_ids: tuple[str, ...]) -> ShopDevices:
        shops = [shop for shop in SHOPS if shop.shop_id in shop_ids]
        services = replace(fakes.services(), end_model=engine)
        truth, uplink = fakes.truth_of(shops), Uplink(LORA.scale_at, factors=dealt(factors, names))
        own = dealt(alphas, names)
        return ShopDevices(
            shops,
            truth,
            services,
            settings,
            RunDirectory(folder),
            write,
            seed=0,
            uplink=uplink,
            ranks=ranks,
            alphas=own,
        )

    plan = replace(
        aggregated(ROUNDS, aggregator, evaluates_base=False),
        limits=ReplyLimits(scale_at=LORA.scale_at, scale_factors=factors),
    )
    result = run_federation(plan, names, build, InProcessHosts(), settings=HostSettings(shops_per_batch=2))
    rounds = range(1, ROUNDS + 1)
    return result, {at: {n: load_state(RunDirectory(folder).shop(n), at).adapter for n in names} for at in rounds}


def same(one: AdapterState, other: AdapterState, patterns: tuple[str, ...]) -> bool:
    chosen = select(one, patterns)
    return bool(chosen) and all(np.array_equal(tensor, other[name]) for name, tensor in chosen.items())


@pytest.mark.parametrize("strategy", METHODS)
def test_a_run(tmp_path: Path, engine: Any, base: str, strategy: str) -> None:
    aggregator = shipped(strategy)
    result, saved = play(tmp_path, engine, base, aggregator)
    assert not result.failures
    assert not result.skipped_rounds
    fresh = engine.new_adapter(adapter_seed(0))
    first, last = saved[1], saved[2]
    assert not same(first["a"], first["b"], ("*",)), "shops learn what is their own"
    errors = [record.aggregation.relative_error for record in result.rounds if record.aggregation is not None]
    assert len(errors) == ROUNDS
    if strategy in EXACT:
        assert max(errors) < 1e-6
    if strategy == "ffa_lora":
        assert all(same(saved[at][shop], fresh, LORA_A) for at in saved for shop in ("a", "b"))
        assert all(".lora_B." in name for name in result.state.aggregate)
    if strategy == "fedsa_lora":
        assert errors == [None, None]
        assert not same(last["a"], last["b"], LORA_B)
    if strategy == "rolora":
        assert all(same(first[shop], fresh, LORA_A) and not same(first[shop], fresh, LORA_B) for shop in ("a", "b"))
        assert same(last["a"], last["b"], LORA_B), "the mean of the first round"
        assert not same(last["a"], fresh, LORA_A), "with B away from zero, A learns"
    if strategy == "fedsvd":
        assert same(last["a"], last["b"], LORA_A)
        assert not same(last["a"], fresh, LORA_A), "turned after what was learned"
    if strategy in ("flora", "fedex_lora"):
        assert same(last["a"], last["b"], FROZEN)
        assert last["a"].keys() == fresh.keys() | frozen_part(last["a"]).keys()
        assert not same(last["a"], last["b"], LORA_B)
    sent = set(result.rounds[-1].aggregation.update_bytes.values())
    if strategy in ("ffa_lora", "fedsa_lora", "rolora", "fedsvd"):
        assert max(sent) < sum(tensor.nbytes for tensor in fresh.values())
    if strategy == "scaffold":
        own = [load_state(RunDirectory(tmp_path).shop(shop), ROUNDS).control.own for shop in ("a", "b")]
        for name, tensor in result.state.aggregator.control.items():
            np.testing.assert_allclose(tensor, (own[0][name] + own[1][name]) / 2, atol=1e-7)
        assert any(tensor.any() for tensor in result.state.aggregator.control.values())
        kinds = [{(e.kind, e.direction): e.num_bytes for e in record.traffic} for record in result.rounds]
        assert ("control", "down") not in kinds[0], "the server's variate has not begun"
        assert kinds[1]["control", "down"] == kinds[1]["control", "up"] == kinds[1]["adapter", "up"]
    if strategy == "florist":
        assert adapter_rank(last["a"]) == result.rounds[0].aggregation.aggregate_rank


@pytest.mark.parametrize("strategy", METHODS)
def test_one_shops_federation_is_its_own_evolution(tmp_path: Path, engine: Any, base: str, strategy: str) -> None:
    """After a first round the shop serves what it learned, whatever the server made of it."""
    aggregator = shipped(strategy)
    result, saved = play(tmp_path, engine, base, aggregator, ("a",))
    own = saved[ROUNDS]["a"]
    served = {**own, **(aggregator.downlink(result.state.aggregator, "a") or {})}
    before, after = (added(each, LORA.scale_at(adapter_rank(each))) for each in (own, served))
    for name in before:
        # FLoRIST may drop what is little; all others keep the product.
        atol = 0.3 if strategy == "florist" else 1e-5
        np.testing.assert_allclose(after[name], before[name], atol=atol * float(np.abs(before[name]).max()))


@pytest.mark.parametrize("strategy", ["flexlora", "hetlora", "florist", "flora"])
def test_shops_of_different_ranks(tmp_path: Path, engine: Any, base: str, strategy: str) -> None:
    aggregator = shipped(strategy)
    result, saved = play(tmp_path, engine, base, aggregator, ranks={"a": 1})
    assert not result.failures
    assert result.rounds[0].aggregation.ranks == {"a": 1, "b": 2}
    fresh = engine.new_adapter(adapter_seed(0))
    names = list(select(fresh, LORA_A))
    if strategy == "florist":
        sent = result.rounds[0].aggregation.aggregate_rank
        assert {adapter_rank(saved[2][shop]) for shop in ("a", "b")} == {sent}
    else:
        assert [adapter_rank(saved[2][shop]) for shop in ("a", "b")] == [1, 2]
        assert [adapter_rank(aggregator.downlink(result.state.aggregator, shop)) for shop in ("a", "b")] == [1, 2]
    assert all(saved[1]["a"][name].shape == (1, fresh[name].shape[1]) for name in names)


def test_a_round_of_scaffold_that_is_asked_for_again_answers_alike_and_the_first_is_plain_averaging(
    tmp_path: Path, engine: Any, base: str
) -> None:
    plain, _ = play(tmp_path / "plain", engine, base, shipped("fedavg"))
    ours, saved = play(tmp_path / "ours", engine, base, shipped("scaffold"))
    first = [load_state(RunDirectory(tmp_path / name).shop("a"), 1).adapter for name in ("plain", "ours")]
    assert same(first[0], first[1], ("*",)), "variates of zero correct nothing"
    second = load_state(RunDirectory(tmp_path / "plain").shop("a"), 2).adapter
    assert not same(second, saved[2]["a"], ("*",))
    again, _ = play(tmp_path / "ours", engine, base, shipped("scaffold"))
    control = [each.state.aggregator.control for each in (ours, again)]
    assert same(control[0], control[1], ("*",))
    assert same(ours.state.aggregate, again.state.aggregate, ("*",))
    assert plain.state.aggregator.control == {}


@pytest.mark.parametrize("strategy", ["flexlora", "hetlora", "florist", "flora"])
def test_shops_of_different_alphas(tmp_path: Path, engine: Any, base: str, strategy: str) -> None:
    aggregator = shipped(strategy)
    result, _ = play(tmp_path, engine, base, aggregator, alphas=(4.0, 16.0))
    assert not result.failures
    down = [aggregator.downlink(result.state.aggregator, shop) for shop in ("a", "b")]
    ours, theirs = (added(each, alpha / adapter_rank(each)) for each, alpha in zip(down, (4.0, 16.0), strict=True))
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-5 * float(np.abs(theirs[name]).max()))
    for shop, alpha in (("a", 4.0), ("b", 16.0)):
        state, settings = load_adapter(RunDirectory(tmp_path).shop(shop) / "round_0002/adapter")
        assert settings.scale_at(adapter_rank(state)) == pytest.approx(alpha / adapter_rank(state))
