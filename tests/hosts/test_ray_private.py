"""What is assumed of the installed Ray."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ecc_fed.hosts.ray_private import give_token

# A process of its own: Ray takes signals once in a process. SIGTERM comes when Ray has just connected.
_PROGRAM = """
import os, signal, time
from ecc_fed.hosts.ray_private import connecting
import ray

came = []
signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
connect = ray._private.worker.connect

def interrupted(*arguments, **options):
    connect(*arguments, **options)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(4)  # its abort would come after three

ray._private.worker.connect = interrupted
with connecting():
    ray.init(num_cpus=1, include_dashboard=False, logging_level="ERROR")
assert came == [signal.SIGTERM], came
ray.shutdown()
signal.raise_signal(signal.SIGTERM)
print(len(came))
"""


def test_a_signal_that_comes_while_ray_connects_is_ours() -> None:
    found = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0 and found.stdout.strip() == "2", found.stderr[-2000:]
    assert "SIGTERM received" not in found.stderr


@pytest.mark.parametrize("home", ["read-only", "none", "usual", "kept"])
def test_a_home_that_cannot_be_written_is_no_hindrance(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody if home == "none" else lambda: tmp_path)
    if home == "kept":
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("mine")
    if home == "read-only":
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    give_token()
    given = os.environ.pop("RAY_AUTH_TOKEN", None)
    assert (given is not None and len(given) == 64) is (home in ("read-only", "none"))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of the user")
    give_token()
    assert os.environ["RAY_AUTH_TOKEN"] == "of the user"
