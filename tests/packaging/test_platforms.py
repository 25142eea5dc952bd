"""What a Python on Windows lacks is missing here too, so that no import of it comes before the refusal."""

import subprocess
import sys

import pytest

_WINDOWS = """
import asyncio, logging, shutil, subprocess, tempfile, threading, unittest.mock  # as Linux knows them
from rich.console import Console
import importlib.metadata, signal, sys
for name in ("fcntl", "resource", "termios", "pwd", "grp"):
    sys.modules[name] = None
for name in ("SIGHUP", "SIGALRM", "SIGKILL", "setitimer", "pthread_sigmask", "pthread_kill"):
    delattr(signal, name)
sys.platform = "win32"
"""


def _on_windows(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", _WINDOWS + code], capture_output=True, text=True)


@pytest.mark.parametrize("command", [["run"], ["study", "quickstart"], ["report", "runs"]])
def test_windows_is_refused_in_one_line_with_the_remedy(command: list[str]) -> None:
    done = _on_windows(f"from ecc_fed.cli.main import main\nsys.exit(main({command}))")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ecc_fed runs on Linux and macOS") and "WSL2" in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_and_version_are_given_there() -> None:
    done = _on_windows("from ecc_fed.cli.main import main\nsys.exit(main(['--help']))")
    assert (done.returncode, done.stderr) == (0, "")


def test_from_python_it_is_refused_as_well() -> None:
    done = _on_windows("import ecc_fed\necc_fed.run")
    assert done.returncode == 1
    assert "UserError: ecc_fed runs on Linux and macOS" in done.stderr.splitlines()[-1]
