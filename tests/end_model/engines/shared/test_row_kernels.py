"""Fused kernels against their plain forms: by Triton's interpreter on a CPU, compiled on a GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[4]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU runs the kernels themselves (tests/gpu)")
def test_kernels_equal_their_plain_forms():
    """In a process of its own: Triton reads once whether it interprets."""
    pytest.importorskip("triton", reason="comes with torch for CUDA alone")
    done = subprocess.run(
        [sys.executable, "-m", "tests.end_model.engines.shared.kernel_checks", "cpu"],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "all equal"
