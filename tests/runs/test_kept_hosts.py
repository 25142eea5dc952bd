"""What the hosts chose at a run's start stays, whatever they would choose later."""

import json
from pathlib import Path

import pytest

from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.hosts.batch_size import BatchSize
from ecc_fed.hosts.reports import HostReport
from ecc_fed.runs.kept_hosts import keep_hosts, kept_hosts


def _reports(*sizes: int) -> list[HostReport]:
    return [HostReport(1, 0, 0, shops_per_batch=size, batch_reason=f"chose {size}") for size in sizes]


def test_the_first_choice_is_kept(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    assert kept_hosts(directory) == ()
    keep_hosts(directory, _reports(4, 3))
    keep_hosts(directory, _reports(1))
    assert kept_hosts(directory) == (BatchSize(4, "chose 4"), BatchSize(3, "chose 3"))


def test_a_measured_pass_is_kept_and_an_older_file_has_none(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    keep_hosts(directory, [HostReport(1, 0, 0, 4, "chose 4", pass_tokens=2048)])
    assert kept_hosts(directory) == (BatchSize(4, "chose 4", 2048),)
    (path,) = directory.server.iterdir()
    found = json.loads(path.read_text())
    del found["hosts"][0]["pass_tokens"]
    path.write_text(json.dumps(found))
    assert kept_hosts(directory) == (BatchSize(4, "chose 4", None),)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    keep_hosts(directory, _reports(4))
    (path,) = directory.server.iterdir()
    path.write_text(path.read_text().replace('"size"', '"sizes"'))
    with pytest.raises(RunDirectoryError, match=r"hosts\.json"):
        kept_hosts(directory)
