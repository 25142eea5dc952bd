"""Whole runs of strategies on the embedded models, small: the identities that hold end to end."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ecc_fed.core.rows import RunInfo, read_record
from ecc_fed.core.run_directory import read_jsonl
from ecc_fed.core.seeding import adapter_seed
from ecc_fed.end_model.adapters.tensors import fresh_adapter
from ecc_fed.hosts.in_process import InProcessHosts

from .test_runs import rows, run

FEW = ["arm=aggregated", "corpus.pairs_per_shop=12", "corpus.test_pairs_per_shop=2", "decoding.max_new_tokens=6"]


@pytest.fixture(scope="module")
def hosts() -> InProcessHosts:
    return InProcessHosts()


def test_a_server_that_takes_no_step_stays_at_the_adapter_that_every_shop_started_from(
    tmp_path: Path, hosts: InProcessHosts
) -> None:
    still = ["strategy=fedavgm", "strategy.learning_rate=0", "strategy.momentum=0", "seed=5"]
    directory = run(tmp_path, hosts, *FEW, *still)
    server = load_file(directory.aggregate / "adapter_model.safetensors")
    fresh = fresh_adapter({name: tensor.shape for name, tensor in server.items()}, adapter_seed(5))
    assert all(np.array_equal(server[name], fresh[name]) for name in fresh)
    base, final = ([{**row, "server_round": 0} for row in rows(directory, phase)] for phase in ("base", "final"))
    assert base == final


@pytest.mark.parametrize(
    "strategy",
    [
        ["strategy=clusters", "participation.share=0.7"],
        ["strategy=multi_krum", "strategy.hostile_share=0"],
        ["strategy=median"],
    ],
    ids=str,
)
def test_strategies_that_compare_shops_run_end_to_end(
    tmp_path: Path, hosts: InProcessHosts, strategy: list[str]
) -> None:
    directory = run(tmp_path, hosts, *FEW, *strategy, "corpus.num_shops=3", "corpus.test_pairs_per_shop=1")
    told = read_record(directory.run, RunInfo)
    assert [failure for failure in told.failures if failure.kind != "teacher_error"] == []
    a_round = [sum(row["server_round"] == each for row in read_jsonl(directory.updates)) for each in (1, 2)]
    assert a_round == ([2, 2] if "participation.share=0.7" in strategy else [3, 3])
    assert len(rows(directory, "final")) == 3
