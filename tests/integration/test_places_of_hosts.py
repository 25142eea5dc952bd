"""A host in this process and one on Ray give the same run, bit for bit."""

from pathlib import Path

import pytest

from ecc_fed.assembly.compose import compose_run, to_run_config, to_yaml
from ecc_fed.core.run_directory import RunDirectory, read_json
from ecc_fed.hosts.choosing import run_hosts
from ecc_fed.hosts.start import ray_hosts
from ecc_fed.reporting.summary import write_summary
from ecc_fed.runs.run_folder import new_run
from ecc_fed.runs.simulation import simulate
from experiments.reliability.equal import differences

SMALL = [
    "arm=aggregated",
    "strategy=fedex_lora",
    "corpus.num_shops=2",
    "corpus.pairs_per_shop=24",
    "corpus.test_pairs_per_shop=4",
    "evolution.server_rounds=2",
    "finetune.steps=2",
    "decoding.max_new_tokens=8",
    "runtime.hosts=1",
]


@pytest.mark.slow
@pytest.mark.xdist_group("ray_hosts")
def test_a_run_is_the_same_in_this_process_and_on_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecc_fed.hosts.choosing._sees_gpu", lambda: False)
    composed = compose_run(SMALL)
    config = to_run_config(composed)
    for name, open_hosts in {"here": run_hosts, "ray": ray_hosts}.items():
        directory = RunDirectory(tmp_path / name)
        with open_hosts(config.runtime) as hosts, new_run(directory, to_yaml(composed), "x") as run_id:
            simulate(config, directory, hosts, lambda *_: None, run_id)
            write_summary(directory.root)
    assert differences(tmp_path / "here", tmp_path / "ray") == []
    here, ray = (read_json(tmp_path / name / "summary.json") for name in ("here", "ray"))
    assert here["evaluation"] == ray["evaluation"] and here["evaluation"]["final"]["chrf"]["mean"] > 0
