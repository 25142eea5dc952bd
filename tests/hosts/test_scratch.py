"""Ray's folder: where it lies, and that it goes; those of dead processes too, and no others."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecc_fed.federation.results import FederationError
from ecc_fed.hosts import guardian
from ecc_fed.hosts.scratch import remove_stale, scratch, scratch_parent


@pytest.fixture
def dead() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A parent with a path that is short enough, as pytest's own is not everywhere."""
    parent = Path(f"/tmp/t{os.getpid()}")
    parent.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(parent))
    yield parent
    parent.rmdir()  # nothing is left in it


def folder(parent: Path, name: str) -> Path:
    made = parent / f"ecc_fed-ray-{name}"
    (made / "session").mkdir(parents=True)
    (made / "session" / "log").write_text("…")
    (made / "lock").touch()
    return made


def test_the_folder_goes_with_the_block_and_no_process_of_it_is_left(short):
    with scratch() as own:
        (own.folder / "session").mkdir()
        assert own.folder.parent == short
        assert str(os.getpid()) in own.folder.name
        with own.marking():
            marked = subprocess.Popen(["sleep", "60"])
        unmarked = subprocess.Popen(["sleep", "60"])
        # On a busy machine a new process is not seen at once.
        for _ in range(100):
            if found := guardian.left_of(str(own.folder), own.mark.encode()):
                break
            time.sleep(0.05)
        assert found == [marked.pid]
        remove_stale(short)
        assert (own.folder / "session").is_dir()
    assert not own.folder.exists()
    assert marked.wait(timeout=1) == -9
    assert unmarked.poll() is None
    unmarked.kill()
    unmarked.wait()


def test_a_killed_process_leaves_neither_folder_nor_processes(short):
    code = """
import subprocess, sys, time
from ecc_fed.hosts.scratch import scratch
with scratch() as own:
    named = "exec -a ray::Agent sleep 60 <"  # writes its name over its environment, as Ray's agents may
    (own.folder / "log").touch()
    agent = subprocess.Popen(["bash", "-c", f"{named} {own.folder}/log"])
    reader = subprocess.Popen(["bash", "-c", f"exec sleep 60 < {own.folder}/log"])
    print(own.folder, agent.pid, reader.pid, flush=True)
    time.sleep(60)
"""
    killed = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    left, agent, reader = killed.stdout.readline().split()
    deadline = time.monotonic() + 10
    while not Path(f"/proc/{agent}/cmdline").read_bytes().startswith(b"ray::") and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    while (Path(left).exists() or Path(f"/proc/{agent}/exe").exists()) and time.monotonic() < deadline:
        time.sleep(0.05)  # a process that is killed takes a moment to go
    assert not Path(left).exists()
    assert not Path(f"/proc/{agent}/exe").exists()
    assert Path(f"/proc/{reader}/exe").exists(), "somebody reads the log: none of ours"
    os.kill(int(reader), 9)


def test_folders_of_dead_processes_are_removed_and_no_others(short, dead):
    gone = folder(short, f"{dead}-abcd")
    kept = {
        "alive": folder(short, f"{os.getpid()}-abcd"),
        "in use where its id means nothing here": folder(short, f"{dead}-0123"),
        "not ours": folder(short, "x-abcd"),
    }
    elsewhere = short / f"session_{dead}"
    elsewhere.mkdir()
    link = short / f"ecc_fed-ray-{dead}-link"
    link.symlink_to(elsewhere)
    with (kept["in use where its id means nothing here"] / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove_stale(short)
    assert not gone.exists()
    assert {name for name, path in kept.items() if (path / "session" / "log").exists()} == set(kept)
    assert elsewhere.is_dir() and link.is_symlink()
    link.unlink()
    for path in (*kept.values(), elsewhere):
        subprocess.run(["rm", "-r", path], check=True)


def test_paths_of_sockets_fit_wherever_temporary_files_go(short, monkeypatch):
    assert scratch_parent() == short
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/" + "x" * 40)
    with pytest.raises(FederationError, match=r"RAY_TMPDIR=/tmp/x+ is too long by \d+ characters"):
        scratch_parent()
    monkeypatch.delenv("RAY_TMPDIR")
    monkeypatch.setenv("TMPDIR", str(short))
    assert scratch_parent() == short
    monkeypatch.setenv("TMPDIR", "/tmp/" + "x" * 40)
    assert scratch_parent() == Path("/tmp")
    longest = max(f"/tmp/{'y' * n}" for n in range(1, 40) if fits(monkeypatch, f"/tmp/{'y' * n}"))
    name = f"{longest}/ecc_fed-ray-4194304-abcd/session_2026-12-31_23-59-59_999999_4194304/sockets/plasma_store"
    assert len(name) == (103 if sys.platform == "darwin" else 107)


def fits(monkeypatch: pytest.MonkeyPatch, parent: str) -> bool:
    monkeypatch.setenv("TMPDIR", parent)
    return scratch_parent() == Path(parent)


def test_a_folder_that_cannot_be_made_says_what_to_do(monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", "/proc/none")
    with pytest.raises(FederationError, match=r"Ray needs a folder for its sockets: .*Set RAY_TMPDIR"), scratch():
        pass
