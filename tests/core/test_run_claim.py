"""A folder belongs to one run."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ecc_fed.core.errors import ConfigError, RunDirectoryError, TeacherError, UserError
from ecc_fed.core.run_claim import (
    accept_claim,
    claimed,
    join,
    read_claim,
    refuse_taken,
    reserved,
    wait_for_orphans,
    working,
)
from ecc_fed.core.run_directory import RunDirectory, write_json


def claim_it(root: Path, finished: bool = False) -> RunDirectory:
    directory = RunDirectory(root)
    with claimed(directory, "digest", "hydra.run.dir=FOLDER"):
        directory.shops.mkdir()
        if finished:
            write_json(directory.run, {})
    return directory


def test_a_new_folder_is_claimed_and_a_second_run_is_refused_before_it_writes(tmp_path: Path) -> None:
    directory = claim_it(tmp_path / "run")
    claim = read_claim(directory)
    assert claim is not None and claim.config_sha256 == "digest" and len(claim.run_id) == 16
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    said = rf"holds a run that did not end.*`ecc-fed run --resume {directory.root}` goes on.*hydra\.run\.dir=FOLDER"
    with pytest.raises(UserError, match=said), claimed(directory, "digest", "hydra.run.dir=FOLDER"):
        pytest.fail("the block must not run")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    with pytest.raises(UserError, match="holds a finished run"):
        refuse_taken(claim_it(tmp_path / "done", finished=True), "--out FOLDER")


@pytest.mark.parametrize("name", ["notes.txt", "deep/er/thesis.tex", ".hydra/config.yaml"])
def test_a_folder_with_something_else_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=rf"is not empty \(it holds {name}\), and what lies there is no run"):
        refuse_taken(RunDirectory(tmp_path), "x")
    with pytest.raises(UserError, match="is not empty"):
        refuse_taken(RunDirectory(tmp_path / name), "x")


def test_empty_folders_and_an_empty_log_are_free(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "run.log").touch()
    refuse_taken(RunDirectory(tmp_path), "x")
    refuse_taken(RunDirectory(tmp_path / "none"), "x")


def test_a_folder_in_use_is_told_so(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    with claimed(directory, "digest", "x"):
        with pytest.raises(UserError, match="is in use: a run is under way there"):
            refuse_taken(directory, "x")
        with pytest.raises(UserError, match="is in use: a run is under way there"), working(directory):
            pass


def test_a_mistake_that_is_found_before_anything_was_done_frees_the_folder(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    for _ in range(2):
        with pytest.raises(ConfigError), claimed(directory, "digest", "x"):
            directory.config.parent.mkdir()
            directory.config.write_text("seed: 1")
            directory.probes.write_text("{}")
            raise ConfigError
        assert read_claim(directory) is None
        assert not directory.probes.exists() and not directory.config.parent.exists()
    with pytest.raises(ConfigError), claimed(directory, "digest", "x"):
        directory.shops.mkdir()
        raise ConfigError
    assert read_claim(directory) is not None


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ZeroDivisionError, TeacherError])
def test_a_run_that_is_stopped_before_anything_was_done_can_go_on(tmp_path: Path, stop: type[BaseException]) -> None:
    directory = RunDirectory(tmp_path)
    with pytest.raises(stop), claimed(directory, "digest", "x"):
        directory.probes.write_text("{}")
        raise stop
    assert read_claim(directory) is not None and directory.probes.exists()


def test_four_runs_of_one_second_get_four_folders(tmp_path: Path) -> None:
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(reserved(tmp_path / "d" / "10-00-00_local", "--out DIR")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.name for path in found) == [f"10-00-00_local{suffix}" for suffix in ("", "_2", "_3", "_4")]
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError, match="cannot make"):
        reserved(tmp_path / "file" / "x", "--out DIR")


def test_a_process_with_a_shop_accepts_its_own_run_alone(tmp_path: Path) -> None:
    directory = claim_it(tmp_path / "run")
    claim = read_claim(directory)
    assert claim is not None
    accept_claim(directory, claim.run_id, "digest", "run-dir")
    with pytest.raises(UserError, match=rf"belongs to run {claim.run_id}, and this is run 77: .*run-dir"):
        accept_claim(directory, "77", "digest", "run-dir")
    own = RunDirectory(tmp_path / "elsewhere")
    for _ in range(2):
        accept_claim(own, "77", "digest", "run-dir")
    found = read_claim(own)
    assert found is not None and found.run_id == "77"


def test_a_claim_of_another_version_is_refused(tmp_path: Path) -> None:
    write_json(RunDirectory(tmp_path).claim, {"schema": 99})
    with pytest.raises(RunDirectoryError, match="was written by a newer version"):
        read_claim(RunDirectory(tmp_path))


def test_who_goes_on_waits_for_the_processes_of_the_run_that_was_stopped(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    code = (
        "import sys; from pathlib import Path; from ecc_fed.core.run_claim import join;"
        "from ecc_fed.core.run_directory import RunDirectory;"
        f"held = join(RunDirectory(Path({str(tmp_path)!r}))); print('joined', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as orphan:
        assert orphan.stdout is not None and orphan.stdin is not None
        assert orphan.stdout.readline() == b"joined\n"
        with pytest.raises(UserError, match="still at work"):
            wait_for_orphans(directory, seconds=0.2)
        threading.Timer(0.3, orphan.kill).start()
        wait_for_orphans(directory, seconds=30)
    held = join(directory)  # this very process is no orphan
    wait_for_orphans(directory, seconds=0)
    held.close()
