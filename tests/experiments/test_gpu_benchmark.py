"""The GPU benchmark, without a GPU."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ecc_fed.core.errors import ConfigError
from experiments.benchmarks import gpu, gpu_replies
from experiments.benchmarks.adapter_ways import adapter_ways
from experiments.benchmarks.step_parts import PARTS, step_clock

ROOT = Path(__file__).parents[2]


def test_the_dry_run_needs_no_gpu_no_ray_and_no_flower(tmp_path):
    file = tmp_path / "rows.json"
    code = (
        "import sys; from experiments.benchmarks import gpu; gpu.main(sys.argv[1:]); "
        "sys.exit(bool({'ray', 'flwr'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, "--device", "cpu", "--dry-run", "--repeats", "1", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "most shops at once: 3 or more" in done.stdout
    figures = json.loads(file.read_text(encoding="utf-8"))
    machine, rows = figures["machine"], figures["rows"]
    assert machine["card"] == "CPU" and machine["torch"] == version("torch") and machine["bitsandbytes"]
    assert machine["product_peak_tflops"] > 0 and machine["peft_client_steps_per_second"] > 0
    assert [row["shops"] for row in rows] == [1, 2, 3]
    assert rows[0]["ratio_to_one_at_a_time"] == 1.0
    for row in rows:
        assert row["fits"] and row["client_steps_per_second"] > 0 and row["peak_gib"] > 0
        assert row["fraction_of_peak"] > 0  # a busy machine measures its peak too low: no bound above
        assert set(row["adapter_product_seconds_fp32"]) == {"segments", "padded", "grouped"}
        assert set(row["parts"]) == {*PARTS, "elsewhere"} and sum(row["parts"].values()) == pytest.approx(1)
        assert all(row["parts"][part] > 0 for part in PARTS)


def test_all_ways_give_the_same_adapter_products():
    generator = torch.Generator().manual_seed(0)
    sizes = [5, 1, 7]
    x, h, w = (torch.randn(*size, generator=generator) for size in ((13, 32), (13, 8), (3, 8, 32)))
    found = []
    for way in adapter_ways(sizes, torch.device("cpu")).values():
        added, out = x.clone(), torch.empty_like(w)
        way.add_back(added, h, w)
        way.outer(h, x, out)
        found.append((way.project(x, w), added, out))
    for one, *others in zip(*found, strict=True):
        for other in others:
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_lengths_are_those_published():
    lengths = [(len(e.ids), e.label_tokens) for own in gpu.ecd_examples(20, 200, 65024) for e in own]
    prompts, replies = [total - label for total, label in lengths], [label for _, label in lengths]
    # 5.51 turns of 7.02 words and 4 for the role, the reply's own role, and 2 at the start.
    assert abs(sum(prompts) / len(prompts) - (6 + 5.51 * 11.02)) < 3
    # 7.02 words and the end.
    assert abs(sum(replies) / len(replies) - 8.02) < 1


def test_the_clock_of_parts_leaves_the_engine_as_it_was():
    from ecc_fed.end_model.engines.shared import lora_product
    from ecc_fed.end_model.engines.shared.frozen_matrix import FrozenMatrix

    before = FrozenMatrix.product, lora_product.lora_product
    with step_clock(torch.device("cpu")) as clock:
        matrix = FrozenMatrix(torch.ones(3, 2), (), None, torch.float32)
        matrix.product(torch.ones(4, 2))
    assert (FrozenMatrix.product, lora_product.lora_product) == before
    assert [(part, around) for part, around, _, _ in clock.intervals] == [("products", None), ("dequantization", 0)]
    seconds, (_, _, start, stop) = clock.seconds(), clock.intervals[0]
    assert seconds["products"] + seconds["dequantization"] == pytest.approx(stop - start)


def test_what_does_not_fit_is_a_row_with_its_reason(monkeypatch):
    """Passes are sized before anything is trained."""

    def refuse(*given):
        raise ConfigError("Not even one shop fits")

    monkeypatch.setattr(gpu, "measure_passes", refuse)
    exact = SimpleNamespace(exact=True)
    base = SimpleNamespace(layers=[])
    monkeypatch.setattr(gpu, "AdapterLayout", lambda *given: None)
    chosen = SimpleNamespace(batch_tokens=None, dropout=0.1)
    row = gpu.measure(base, gpu.ecd_examples(2, 1, 99), exact, 1.0, 1, chosen)
    assert row == {"shops": 2, "fits": False, "reason": "Not even one shop fits"}


def test_without_a_gpu_it_says_so(capsys):
    if torch.cuda.is_available():
        return
    try:
        gpu.main([])
    except SystemExit as stop:
        assert stop.code == 2
    assert "device=cuda of the end model, but torch sees no GPU here" in capsys.readouterr().err


def test_the_dry_run_of_replies_measures_every_way(tmp_path, capsys):
    file = tmp_path / "rows.json"
    gpu_replies.main(["--device", "cpu", "--dry-run", "--repeats", "1", "--json", str(file)])
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert [(row["shops"], row["way"]) for row in rows] == [
        (1, "generate"),
        *((count, way) for count in (1, 3) for way in gpu_replies.WAYS),
    ]
    assert all(row["tokens_per_second"] > 0 for row in rows) and rows[0]["ratio_to_generate"] == 1.0
    assert [row["equal_to_the_first"] for row in rows[1:]] == [1] * 3 + [3] * 3
    assert "CPU: transformers' generate" in capsys.readouterr().out


def test_without_a_gpu_replies_are_not_measured(capsys):
    if torch.cuda.is_available():
        return
    try:
        gpu_replies.main([])
    except SystemExit as stop:
        assert stop.code == 2
    assert "device=cuda of the end model, but torch sees no GPU here" in capsys.readouterr().err
