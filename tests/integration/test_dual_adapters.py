"""Two adapters in one: the first ranks are shared, the others stay at home."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.federation import build_plan
from ecc_fed.core.aggregation import LORA_A, LORA_B, WHOLE, AdapterUpdate, Exchange, select
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.run_directory import read_jsonl
from ecc_fed.end_model.adapters.tensors import of_rank, widened
from ecc_fed.evolution.downlink import received
from ecc_fed.evolution.shop_state import load_state
from ecc_fed.evolution.uplink import Uplink
from ecc_fed.hosts.in_process import InProcessHosts
from tests.federation.aggregation.dense import drawn, lora, products

from .test_runs import run

RANK, SHARED = 5, 2
FEW = ["corpus.pairs_per_shop=12", "corpus.test_pairs_per_shop=2", "decoding.max_new_tokens=6", "adapter.rank=4"]


@pytest.fixture(scope="module")
def hosts() -> InProcessHosts:
    return InProcessHosts()


def own() -> dict[str, np.ndarray]:
    return drawn(np.random.default_rng(1), RANK)


def test_the_sum_of_a_shared_and_an_own_adapter_is_served_and_only_the_shared_one_is_replaced() -> None:
    shared = drawn(np.random.default_rng(2), SHARED)
    both = received(own(), shared, SHARED)
    rest = {n: t[SHARED:] if "lora_A" in n else t[:, SHARED:] for n, t in own().items()}
    scale = lora(RANK)
    for module, served in products(both, scale).items():
        np.testing.assert_allclose(served, products(shared, scale)[module] + products(rest, scale)[module], atol=1e-6)
    assert all(both[name].shape == tensor.shape and both[name].dtype == np.float32 for name, tensor in own().items())
    only_a = received(own(), select(shared, LORA_A), SHARED)
    assert all(np.array_equal(only_a[name], both[name]) for name in select(both, LORA_A))
    assert all(
        only_a[name] is tensor or np.array_equal(only_a[name], tensor) for name, tensor in own().items() if "_B" in name
    )
    frozen = {"m.q_proj.frozen_A.weight": np.ones((3, 12), np.float32)}
    more = received(own(), {**shared, **frozen}, SHARED)
    assert more.keys() == {*own(), *frozen}, "what the server adds beside the pairs comes as it is"
    assert all(np.array_equal(more[name], {**both, **frozen}[name]) for name in more)
    nothing = received(own(), None, SHARED)
    assert all(np.array_equal(nothing[name], tensor) for name, tensor in own().items())


def test_what_leaves_is_the_first_ranks_in_the_whole_adapters_scale() -> None:
    class Noted:
        sums_only = False

        def __init__(self) -> None:
            self.starts: list[object] = []

        def on_device(self, update: AdapterUpdate, start: object) -> AdapterUpdate:
            self.starts.append(start)
            return update

    noted = Noted()
    uplink = Uplink(lora, (noted,), SHARED)  # type: ignore[arg-type]
    update = uplink.update("a", 1, own(), own(), 3, WHOLE)
    assert update.scale == lora(RANK)
    assert update.rank == SHARED
    for name, tensor in update.adapter.items():
        first = own()[name][:SHARED] if "lora_A" in name else own()[name][:, :SHARED]
        assert np.array_equal(tensor, first)
        assert np.array_equal(noted.starts[0][name], first)  # type: ignore[index]
    assert set(uplink.update("a", 1, own(), own(), 3, Exchange(up=LORA_B)).adapter) == set(select(own(), LORA_B))


def test_widened_by_zeros_it_adds_the_same() -> None:
    shared = of_rank(own(), SHARED)
    whole = widened(shared, RANK)
    assert {name: tensor.shape for name, tensor in whole.items()} == {n: t.shape for n, t in own().items()}
    for module, product in products(whole, 1.0).items():
        np.testing.assert_array_equal(product, products(shared, 1.0)[module])


def adapters(directory, server_round: int) -> list[dict[str, np.ndarray]]:
    shops = sorted(path.name for path in (directory.root / "shops").iterdir())
    return [dict(load_state(directory.shop(shop), server_round).adapter) for shop in shops]


def test_the_shared_half_travels_and_the_own_half_stays(tmp_path: Path, hosts: InProcessHosts) -> None:
    directory = run(tmp_path / "dual", hosts, "arm=aggregated", "adapter.shared_rank=1", *FEW)
    server = load_file(directory.aggregate / "adapter_model.safetensors")
    first, second = adapters(directory, 2)
    for name, tensor in server.items():
        a = "lora_A" in name
        assert tensor.shape == first[name].shape
        mean = (first[name].astype(np.float64) + second[name]) / 2  # both learned from as many examples
        shared, rest = (tensor[:1], tensor[1:]) if a else (tensor[:, :1], tensor[:, 1:])
        np.testing.assert_allclose(shared, mean[:1] if a else mean[:, :1], atol=1e-6)
        assert not rest.any(), "nobody's own ranks are on the server"
        assert not np.array_equal(
            first[name][1:] if a else first[name][:, 1:], second[name][1:] if a else second[name][:, 1:]
        )
    up = [e["num_bytes"] for e in read_jsonl(directory.egress) if (e["kind"], e["direction"]) == ("adapter", "up")]
    numbers = sum(tensor.nbytes for tensor in first.values())
    assert 0.25 * numbers < np.mean(up) < 0.5 * numbers, "a quarter of the ranks, and Flower's headers"


def test_where_all_ranks_are_shared_it_is_plain_averaging(tmp_path: Path, hosts: InProcessHosts) -> None:
    given = ["arm=aggregated", "evolution.server_rounds=2", *FEW]
    plain = run(tmp_path / "plain", hosts, *given)
    shared = run(tmp_path / "shared", hosts, *given, "adapter.shared_rank=4")
    for one, other in zip(adapters(plain, 2), adapters(shared, 2), strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["adapter.shared_rank=0"], "adapter.shared_rank=0 is out of range: 1 up to adapter.rank="),
        (["adapter.shared_rank=5"], "adapter.shared_rank=5 is out of range: 1 up to adapter.rank=4"),
        (["adapter.shared_rank=2", "strategy=florist"], "Florist may send a shop another rank"),
        (["adapter.shared_rank=2", "adapter.ranks=[2,4]"], "adapter.shared_rank and adapter.ranks do not go together"),
        (["adapter=dora", "adapter.shared_rank=2"], "a dora adapter is no sum of ranks. Take lora or rslora"),
    ],
)
def test_what_does_not_go_together_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_plan(to_run_config(compose_run(["arm=aggregated", "adapter.rank=4", *overrides])))


def test_the_plan_expects_what_travels_in_the_whole_adapters_scale() -> None:
    plan = build_plan(to_run_config(compose_run(["arm=aggregated", "adapter.rank=4", "adapter.shared_rank=1"])))
    whole = {name: tensor.shape for name, tensor in drawn(np.random.default_rng(0), 4).items()}
    travelling = {name: tensor.shape for name, tensor in drawn(np.random.default_rng(0), 1).items()}
    assert plan.expecting(whole).limits.shapes == travelling
    every = build_plan(to_run_config(compose_run(["arm=aggregated", "adapter.rank=4"])))
    assert plan.limits.scale_at(1) == every.limits.scale_at(4) != every.limits.scale_at(1)
    assert replace(every.limits, shapes=whole) == every.expecting(whole).limits
