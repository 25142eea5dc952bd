"""Everything that a card can tell, without a card."""

import json
import time
from pathlib import Path

import pytest
import torch

from experiments.benchmarks import card, gpu_run, narrow_training
from experiments.benchmarks.card import AIMS, PARTS, Part, aims_table, run_part


def figures():
    """As the parts write them, every aim met."""
    rows = [
        {
            "shops": shops,
            "fits": True,
            "client_steps_per_second": 200.0,
            "fraction_of_peak": 0.5,
            "ratio_to_peft_loop": 30.0,
            "peak_gib": 20.0,
        }
        for shops in (1, 16, 64)
    ]
    replies = [
        {
            "shops": shops,
            "fits": True,
            "chosen": True,
            "tokens_per_second": 20000.0,
            "equal_to_the_first": shops,
            "peak_gib": 20.0,
        }
        for shops in (1, 64, 192)
    ]
    way = {"the GPU's way in bf16": {"AdamW, epsilon 1e-8": 0.01}}
    return {
        "fine_tuning": {"rows": rows},
        "replies": {"rows": replies},
        "whole_run": {"peak_gpu_gib": 10.0},
        "bf16": {"of_update": way, "losses_off": {"one": 0.01}},
    }


def written(folder, found):
    for name, each in found.items():
        (folder / f"{name}.json").write_text(json.dumps(each), encoding="utf-8")
    return aims_table(folder)


def test_aims_that_are_met_hold(tmp_path):
    lines = written(tmp_path, figures())
    assert len(lines) == 2 + len(AIMS)
    assert all(line.endswith("| yes |") for line in lines[2:])


def test_each_aim_that_is_missed_is_told(tmp_path):
    found = figures()
    for row in (*found["fine_tuning"]["rows"], *found["replies"]["rows"]):
        measured = set(row) - {"shops", "fits", "chosen"}
        row.update({name: 24.0 if name == "peak_gib" else 0.0 for name in measured})
    found["whole_run"]["peak_gpu_gib"] = 24.0
    found["bf16"] = {"of_update": {"the GPU's way in bf16": {"AdamW, epsilon 1e-8": 0.021}}, "losses_off": {"one": 0.2}}
    assert all(line.endswith("| **no** |") for line in written(tmp_path, found)[2:])


def test_a_row_that_did_not_fit_counts_as_not_measured(tmp_path):
    found = figures()
    found["fine_tuning"]["rows"][2] = {"shops": 64, "fits": False, "reason": "out of memory"}
    lines = [line for line in written(tmp_path, found) if "64 shops" in line and "fine tuning" in line]
    assert len(lines) == 3 and all(line.endswith("| not measured |") for line in lines)


def test_replies_count_by_the_way_that_a_run_takes(tmp_path):
    found = figures()
    found["replies"]["rows"].insert(0, {**found["replies"]["rows"][1], "chosen": False, "tokens_per_second": 1.0})
    assert all(line.endswith("| yes |") for line in written(tmp_path, found)[2:])


def test_a_part_that_fails_or_lasts_is_told_and_takes_its_children_along(tmp_path, monkeypatch):
    fails = Part("fails", "json.no_such_module", [], [])
    good, words = run_part(fails, True, tmp_path, 60)
    assert not good and words.startswith("failed with 1 after")
    assert "no_such_module" in (tmp_path / "fails.txt").read_text(encoding="utf-8")
    pid = tmp_path / "pid"
    (tmp_path / "lasts.py").write_text(
        "import pathlib, subprocess\nchild = subprocess.Popen(['sleep', '600'])\n"
        f"pathlib.Path({str(pid)!r}).write_text(str(child.pid))\nchild.wait()\n",
        encoding="utf-8",
    )
    assert run_part(Part("never", "lasts", [], []), True, tmp_path, 0) == (False, "no time was left")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    good, words = run_part(Part("lasts", "lasts", [], None), False, tmp_path, 5)
    assert not good and words.startswith("stopped after 5 s")
    child = Path(f"/proc/{pid.read_text()}/stat")
    for _ in range(50):
        if not child.exists() or child.read_text().split()[2] == "Z":
            break
        time.sleep(0.1)
    else:
        pytest.fail("the child lives on")


def test_every_part_is_a_module_of_its_own():
    assert [part.name for part in PARTS] == ["kernels", "fine_tuning", "replies", "whole_run", "bf16"]
    assert {aim.part for aim in AIMS} <= {part.name for part in PARTS}


def test_the_dry_run_of_a_whole_run(tmp_path, capsys):
    file = tmp_path / "run.json"
    gpu_run.main(["--dry-run", "--json", str(file)])
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["card"] == "CPU" and found["client_steps"] == 2 * 2
    assert "shops  wall_seconds" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_whole_run_wants_a_gpu(capsys):
    with pytest.raises(SystemExit) as ended:
        gpu_run.main([])
    assert ended.value.code == 2 and "--dry-run" in capsys.readouterr().err


def test_what_bf16_costs(tmp_path, capsys):
    file = tmp_path / "bf16.json"
    narrow_training.main(["--json", str(file)])
    found = json.loads(file.read_text(encoding="utf-8"))
    shares = found["of_update"]
    assert max(shares["the GPU's way in fp32"].values()) < 1e-3
    assert shares["the GPU's way in bf16"]["1: as the gradient"] < 2e-2
    assert 0.005 < shares["peft in fp32 over weights rounded to bf16"]["1: as the gradient"] < 2e-2
    assert max(found["losses_off"].values()) < 0.05
    curve = found["losses"]
    assert curve["peft"][-1] < 0.2 * curve["peft"][0] and len(curve["the GPU's way in bf16"]) == 20


def test_the_dry_run_goes_through_all_parts(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(card, "run_part", lambda part, dry_run, folder, seconds: (part.name != "replies", part.name))
    assert card.main(["--dry-run", "--out", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert all(f"{part.name}: {part.name}" in out for part in PARTS) and "no figure of it says anything" in out
    assert (tmp_path / "aims.md").read_text(encoding="utf-8").count("not measured") == len(AIMS)
