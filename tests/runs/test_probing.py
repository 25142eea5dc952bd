from pathlib import Path

import pytest

from ecc_fed.core.errors import UserError
from ecc_fed.core.records import EgressEntry
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.runs.probing import probe_again
from ecc_fed.teacher.gateway.budget import Spending
from ecc_fed.teacher.gateway.probe import KeepProbe, ProbeReport


def report(tokens: int) -> ProbeReport:
    entry = EgressEntry("(probe)", 0, "cloud_teacher", "up", "query", tokens, details={"purpose": "probe"})
    return ProbeReport(Spending(1, tokens, 0.5), (entry,))


def test_every_start_of_a_run_counts_its_probe_however_it_ended(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)

    def killed(keep: KeepProbe) -> None:
        keep(report(1))
        raise KeyboardInterrupt

    def dead(keep: KeepProbe) -> None:
        keep(report(2))
        keep(report(3))
        raise UserError("dead")

    def answered(keep: KeepProbe) -> None:
        keep(report(4))
        keep(report(5))

    with pytest.raises(KeyboardInterrupt):
        probe_again(directory, killed)
    with pytest.raises(UserError):
        probe_again(directory, dead)
    assert probe_again(directory, answered) == [report(1), report(3), report(5)]
    assert probe_again(directory, lambda keep: None) == [report(1), report(3), report(5)]


def test_a_teacher_that_is_not_probed_leaves_no_file(tmp_path: Path) -> None:
    assert probe_again(RunDirectory(tmp_path), lambda keep: None) == []
    assert not list(tmp_path.iterdir())
