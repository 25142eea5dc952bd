"""The harness that kills runs: what it draws, how it finds processes, and that it can tell books apart."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from ecc_fed.core.records import EgressEntry
from ecc_fed.core.rows import write_rows
from ecc_fed.core.run_directory import RunDirectory
from experiments.reliability.books import interrupted, ledger, unlike_books
from experiments.reliability.kills import ARMS, TARGETS, TEACHERS, draw, way_on
from experiments.reliability.processes import below, process


def test_trials_follow_from_seed_and_number_and_meet_everything() -> None:
    trials = [draw(3, number) for number in range(200)]
    assert trials == [draw(3, number) for number in range(200)]
    assert trials != [draw(4, number) for number in range(200)]
    assert {trial.target for trial in trials} == set(TARGETS)
    assert {trial.case for trial in trials} == {
        f"{arm}_{each}_{n}" for arm in ARMS for each in TEACHERS for n in (1, 2)
    }
    assert 0.4 < sum(trial.target == "main" for trial in trials) / 200 < 0.6
    assert any(trial.again is not None for trial in trials) and all(0 <= trial.moment < 1 for trial in trials)


def test_a_run_goes_on_with_what_it_left(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert way_on(run, ["seed=1"]) == ["seed=1"]
    run.mkdir()
    (run / "claim.json").touch()
    assert way_on(run, ["seed=1"]) == ["--resume", "run", "seed=1"]
    (run / ".hydra").mkdir()
    (run / ".hydra" / "config.yaml").touch()
    assert way_on(run, ["seed=1"]) == ["--resume", "run"]


def test_processes_are_found_below_their_parent_and_known_when_gone() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    try:
        while not (children := below(parent.pid)):
            assert parent.poll() is None
        assert len(children) == 1 and children[0].lives
        assert children[0].end(signal.SIGKILL)
    finally:
        parent.kill()
        parent.wait()
    assert process(parent.pid) is None and not children[0].end(signal.SIGKILL)


def query(outcome: str, wire_bytes: int | None, purpose: str = "judge") -> EgressEntry:
    details: dict[str, str | int | float] = {"outcome": outcome, "purpose": purpose}
    if wire_bytes is not None:
        details["wire_bytes"] = wire_bytes
    return EgressEntry("a", 1, "cloud_teacher", "up", "query", 5, details=details)


def test_the_ledger_is_held_against_the_servers_books(tmp_path: Path) -> None:
    def found(ours: list[EgressEntry], theirs: list[int]) -> list[str]:
        write_rows(RunDirectory(tmp_path).egress, ours)
        (tmp_path / "books.jsonl").write_text("".join(f"{json.dumps({'up': up})}\n" for up in theirs))
        return unlike_books(tmp_path, tmp_path / "books.jsonl")

    assert found([query("ok", 7), query("ok", 9)], [9, 7]) == []
    assert found([query("ok", 7)], [7, 7]) == ["1 requests arrived that the ledger lacks; 0 were under way at a kill"]
    assert found([query("ok", 7), query("interrupted", None)], [7, 7]) == []
    assert found([query("ok", 7), query("timeout", 8)], [7]) == ["the ledger has 1 requests that never arrived"]
    write_rows(RunDirectory(tmp_path).egress, [query("ok", 7), query("interrupted", None), query("ok", 3, "probe")])
    assert interrupted(tmp_path) == 1
    assert ledger(tmp_path) == [query("ok", 7)]
