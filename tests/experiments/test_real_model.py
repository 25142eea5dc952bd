"""The benchmark of a real end model, on the embedded one."""

import json

import pytest
import torch

from experiments.benchmarks import real_model


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_all_parts_are_measured(tmp_path, capsys, one_thread):
    file = tmp_path / "figures.json"
    real_model.main(["--quick", "--json", str(file)])
    figures = json.loads(file.read_text(encoding="utf-8"))
    assert set(figures) == {"reply_ratio_1", "reply_ratio_2", "minutes_4_shops_100_steps", "memory_ratio_8"}
    assert all(value > 0 for value in figures.values())
    out = capsys.readouterr().out
    assert "2 of 2 replies are letter for letter those of generate" in out
    for title in ("generate, one at a time", "CPU s a step", "peak, MiB"):
        assert title in out


def test_jobs_of_shops_have_examples_of_their_own(one_thread):
    model, pairs = real_model.opened(real_model.to_run_config(real_model.compose_run(["corpus.num_shops=2"])))
    made = real_model.jobs(model, pairs, 3, 2, 4)
    assert [len(job.examples) for job in made] == [8, 8, 8] and len({job.examples for job in made}) == 3
    assert [job.seed for job in made] == [0, 1, 2]
    (again,) = real_model.jobs(model, pairs, 1, 2, 4)
    assert again.examples == made[0].examples
