"""A whole run with `runtime=rtx3090`: a small random base in NF4, hosts on Ray, everything on the card."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
SMALL = (
    "arm=aggregated",
    "corpus.num_shops=3",
    "corpus.pairs_per_shop=12",
    "corpus.test_pairs_per_shop=3",
    "evolution.server_rounds=2",
    "finetune.steps=2",
    "finetune.batch_size=2",
    "decoding.max_new_tokens=6",
    "end_model.quantization=nf4",
)


def test_a_whole_run(tmp_path, base):
    pytest.importorskip("bitsandbytes")
    runtime = "rtx3090" if torch.cuda.is_available() else "cpu"
    given = [f"runtime={runtime}", "runtime.hosts=1", f"end_model.path={base}", *SMALL]
    done = subprocess.run(
        [sys.executable, "-m", "ecc_fed.cli.main", "run", *given, f"hydra.run.dir={tmp_path / 'run'}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert found["failures"] == [] and found["runtime"]["client_steps"] == 3 * 2 * 2
    if runtime == "rtx3090":
        assert 0 < found["runtime"]["peak_gpu_bytes"] < 23 * 2**30
        assert found["runtime"]["pass_tokens"] >= 1024 and "passes of" in found["runtime"]["batch_reason"]
