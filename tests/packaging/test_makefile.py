"""Which torch `make` installs, told by a pip that only notes what it is asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_PYTHON = """#!/bin/sh
case "$*" in
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  *--dry-run*) echo '"name": "torch"' && echo '"name": "'$DRAWN_IN'"' ;;
  *--index-url*) echo "$*" >>"$NOTED" && exit "$INDEX_FAILS" ;;
  *pip*) echo "$*" >>"$NOTED" ;;
esac
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    path = tmp_path / "python"
    path.write_text(_PYTHON)
    path.chmod(0o755)
    return path


def installed(python: Path, drawn_in: str, *given: str, gpu: bool = False, fails: bool = False) -> tuple[int, str, str]:
    """(exit code, how torch was installed, what was said) of `make install`."""
    folder = python.parent
    tools = folder / "tools"
    tools.mkdir()
    if gpu:
        shutil.copy(python, tools / "nvidia-smi")
    noted = folder / "noted"
    noted.touch()
    done = subprocess.run(
        ["make", "--no-print-directory", "install", f"VENV={folder / 'venv'}", f"PYTHON={python}", *given],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "DRAWN_IN": drawn_in, "NOTED": str(noted)}
        | {"INDEX_FAILS": str(int(fails))},
        capture_output=True,
        text=True,
    )
    torch = [line for line in noted.read_text().splitlines() if line.endswith(" torch")]
    assert len(torch) == 1
    return done.returncode, torch[0], done.stdout + done.stderr


pytestmark = pytest.mark.skipif(
    Path("/proc/driver/nvidia").exists() or shutil.which("nvidia-smi") is not None or shutil.which("make") is None,
    reason="wants make, and no GPU of its own",
)


def test_what_is_free_of_cuda_is_taken_from_the_index_at_hand(python: Path) -> None:
    code, torch, _ = installed(python, "sympy")
    assert code == 0 and "--index-url" not in torch


def test_cuda_is_not_taken_where_there_is_no_gpu(python: Path) -> None:
    code, torch, said = installed(python, "nvidia-cublas")
    assert code == 0 and f"--index-url {CPU_INDEX} torch" in torch and "--no-deps" in torch
    assert f"No NVIDIA GPU here: torch comes from {CPU_INDEX}, without CUDA." in said


@pytest.mark.parametrize(("gpu", "given"), [(True, []), (False, ["TORCH_CPU_INDEX="])])
def test_cuda_is_taken_where_there_is_one_or_it_is_asked_for(python: Path, gpu: bool, given: list[str]) -> None:
    code, torch, _ = installed(python, "nvidia-cublas", *given, gpu=gpu)
    assert code == 0 and "--index-url" not in torch


def test_an_index_that_does_not_answer_is_an_error_with_the_remedy(python: Path) -> None:
    code, torch, said = installed(python, "nvidia-cublas", "TORCH_CPU_INDEX=https://none", fails=True)
    assert code != 0 and "--index-url https://none torch" in torch
    assert "make TORCH_CPU_INDEX=URL" in said
