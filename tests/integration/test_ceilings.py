"""The two ceilings on the embedded models, small: all dialogues on one device, and the cloud for every query."""

from pathlib import Path

import numpy as np
import pytest

from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.federation import build_plan
from ecc_fed.assembly.flower_device import check_apart
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.run_directory import read_json, read_jsonl
from ecc_fed.evolution.shop_state import finished_rounds, load_state
from ecc_fed.hosts.in_process import InProcessHosts

from .test_runs import rows, run, summary


@pytest.fixture(scope="module")
def hosts() -> InProcessHosts:
    return InProcessHosts()


def test_one_shops_dialogues_pooled_are_its_own_evolution(tmp_path: Path, hosts: InProcessHosts) -> None:
    one = "corpus.num_shops=1"
    local = run(tmp_path / "local", hosts, "arm=local", one)
    pooled = run(tmp_path / "pooled", hosts, "arm=centralized", one)
    assert rows(local, "final") == rows(pooled, "final")
    shop_id = read_json(local.run)["shops"][0]
    states = [load_state(d.shop(shop_id), finished_rounds(d.shop(shop_id))[-1]) for d in (local, pooled)]
    assert all(np.array_equal(states[0].adapter[name], states[1].adapter[name]) for name in states[0].adapter)


def test_all_dialogues_on_one_device(tmp_path: Path, hosts: InProcessHosts) -> None:
    local = run(tmp_path / "local", hosts, "arm=local", "corpus.pairs_per_shop=12", "corpus.test_pairs_per_shop=2")
    pooled = run(
        tmp_path / "pooled", hosts, "arm=centralized", "corpus.pairs_per_shop=12", "corpus.test_pairs_per_shop=2"
    )
    told, other = summary(pooled), summary(local)
    assert told["shops"] == other["shops"]
    assert told["runtime"]["client_steps"] == other["runtime"]["client_steps"] > 0, "as many steps altogether"
    assert [failure for failure in told["failures"] if failure["kind"] != "teacher_error"] == []
    keys = [[(row["shop_id"], row["query"]) for row in rows(each, "final")] for each in (pooled, local)]
    assert keys[0] == keys[1]
    bases = [[(row["query"], row["reply"]) for row in rows(each, "base")] for each in (pooled, local)]
    assert bases[0] == bases[1]
    adapters = [dict(load_state(pooled.shop(shop_id), 2).adapter) for shop_id in told["shops"]]
    assert all(np.array_equal(adapters[0][name], adapters[1][name]) for name in adapters[0])
    egress = read_jsonl(pooled.egress)
    assert {entry["shop_id"] for entry in egress if entry["destination"] == "pool"} == set(told["shops"])
    assert not [entry for entry in egress if entry["kind"] == "adapter"]


def test_the_cloud_answers_everything(tmp_path: Path, hosts: InProcessHosts) -> None:
    directory = run(tmp_path, hosts, "arm=cloud", "corpus.pairs_per_shop=12", "corpus.test_pairs_per_shop=2")
    told = summary(directory)
    final = rows(directory, "final")
    assert final and all(row["final_score"] is None for row in final)
    said = {(row["shop_id"], row["pair_id"]): row["reply"] for row in rows(directory, "teacher")}
    # Of a call that failed there is no row of the teacher's, and nothing was said.
    assert all(row["reply"] == said.get((row["shop_id"], row["pair_id"]), "") for row in final)
    served = sum(row["served"] for row in read_jsonl(directory.metrics))
    assert told["teacher"]["requests"] == served > 0
    assert told["runtime"]["client_steps"] == 0
    assert told["traffic"]["teacher_up_bytes"] > 0


def test_what_one_device_cannot_be_is_refused_by_name() -> None:
    def config(*overrides: str):
        return to_run_config(compose_run(["arm=centralized", *overrides]))

    with pytest.raises(ConfigError, match=r"adapter\.ranks gives shops ranks of their own, and arm centralized"):
        build_plan(config("adapter.ranks=[2,8]"))
    with pytest.raises(ConfigError, match=r"warm_start\.path=.*/x starts every shop by itself, and arm centralized"):
        build_plan(config("evolution.warm_start.path=x"))
    with pytest.raises(ConfigError, match="arm centralized learns from all shops' dialogues on one device"):
        check_apart(config())
    check_apart(to_run_config(compose_run(["arm=local"])))
