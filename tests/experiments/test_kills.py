"""The harness that kills runs: what it draws, how it finds processes, and that it can tell books apart."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from ecc_fed.core.records import EgressEntry
from ecc_fed.core.rows import write_rows
from ecc_fed.core.run_directory import RunDirectory
from experiments.reliability.books import interrupted, ledger, unlike_books
from experiments.reliability.kills import ARMS, TARGETS, TEACHERS, Kill, draw, kill_until_it_ends, unlike_code, way_on
from experiments.reliability.processes import below, process


def test_trials_follow_from_seed_and_number_and_meet_everything() -> None:
    trials = [draw(3, number) for number in range(200)]
    assert trials == [draw(3, number) for number in range(200)]
    assert trials != [draw(4, number) for number in range(200)]
    kills = [kill for trial in trials for kill in trial.kills]
    assert {kill.target for kill in kills} == set(TARGETS)
    assert {trial.case for trial in trials} == {
        f"{arm}_{each}_{n}" for arm in ARMS for each in TEACHERS for n in (1, 2)
    }
    assert 0.4 < sum(kill.target == "main" for kill in kills) / len(kills) < 0.6
    assert {len(trial.kills) for trial in trials} == {1, 2, 3, 4} and all(0 <= kill.moment < 1 for kill in kills)


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
    while children[0].lives:  # a signal is not waited for
        time.sleep(0.01)
    assert process(parent.pid) is None and not children[0].end(signal.SIGKILL)


def test_kills_go_on_until_one_ends_the_run(tmp_path: Path) -> None:
    def asleep() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

    kills = [Kill("host", 0.0), Kill("main", 0.1), Kill("main", 0.2)]
    with asleep() as run:  # no host is there, and the second kill ends it
        met, _ = kill_until_it_ends(run, kills, 1.0, tmp_path)
        assert run.wait() == -signal.SIGKILL
    assert met == [{"target": "main", "phase": "nothing written"}] and kills == [Kill("main", 0.2)]
    assert kill_until_it_ends(run, kills, 1.0, tmp_path) == ([], []) and len(kills) == 1


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


def test_a_start_ends_with_the_code_of_what_hit_it() -> None:
    def after(code: int, *targets: str) -> bool:
        return unlike_code(code, [{"target": target} for target in targets]) == []

    assert after(0) and not after(1) and not after(-6)
    assert after(-9, "main") and not after(1, "main")
    assert after(143, "host", "main, asked to end") and after(-15, "main, asked to end")
    assert not after(-6, "main, asked to end") and not after(130, "main, asked to end")
    assert after(1, "raylet") and after(0, "host") and not after(-11, "head")
