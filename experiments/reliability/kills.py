"""Runs that are killed at random moments and go on: each must end as the run that was never stopped.

    python -m experiments.reliability.kills --kills 200 --out runs/kills

Every trial draws, from its number and the seed, an arm, a teacher, one host or two, and one to four kills: what is
hit, and when. The run is resumed after each until it ends, and compared with an undisturbed one of the same config:
adapters bit for bit, rows, ledger, cache and summary, all but times. With the teacher on loopback the ledger must also
agree with the server's own books. Nothing that the run started may live on.

OUT/log.jsonl holds a line for each trial; the command, given again, goes on after the last one. Exit code 1 where any
trial failed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from experiments.reliability.books import interrupted, ledger, unlike_books
from experiments.reliability.equal import differences
from experiments.reliability.processes import Process, below

ARMS = ("none", "local", "aggregated", "personalized")
TEACHERS = ("retrieval", "loopback")
# What is ended, by what; the process is found by a part of its command line, "" is the command itself.
TARGETS = {
    "main": ("", signal.SIGKILL),
    "main, asked to end": ("", signal.SIGTERM),
    "main, terminal closed": ("", signal.SIGHUP),
    "main, Ctrl-C": ("", signal.SIGINT),
    "host": ("ray::ShopHost", signal.SIGKILL),
    "raylet": ("raylet/raylet", signal.SIGKILL),
    "head": ("gcs_server", signal.SIGKILL),
}
SMALL = (
    "corpus.num_shops=3",
    "corpus.pairs_per_shop=24",
    "corpus.test_pairs_per_shop=4",
    "evolution.server_rounds=3",
    "finetune.steps=2",
    "finetune.batch_size=2",
    "decoding.max_new_tokens=8",
    "runtime.shops_per_batch=2",
)
# Of a remote teacher: where every start's probe stands, and where an attempt that was interrupted stands with its cost.
ADDED = ("probes.jsonl", "egress.jsonl", "run.json", "summary.json")
BOOKS = ("state.json", "evaluation.json")
LONGEST_SECONDS = 300.0
MOST_STARTS = 9
ORPHAN_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Kill:
    """What is ended, and after which part of the undisturbed run's length since the start or the kill before."""

    target: str
    moment: float


@dataclass(frozen=True, slots=True)
class Trial:
    """What is done to one run."""

    number: int
    arm: str
    teacher: str
    hosts: int
    kills: tuple[Kill, ...]

    @property
    def case(self) -> str:
        """Trials of one case have one undisturbed run."""
        return f"{self.arm}_{self.teacher}_{self.hosts}"


def draw(seed: int, number: int) -> Trial:
    """Trial `number` of a seed. Half of the kills hit the command itself at once, without a word."""
    rng = np.random.default_rng([seed, number])
    arm, asked, hosts = str(rng.choice(ARMS)), str(rng.choice(TEACHERS)), int(rng.integers(1, 3))
    others = [name for name, (part, _) in TARGETS.items() if name != "main" and (hosts > 1 or not part)]
    kills = []
    for nth in range(int(rng.integers(1, 5))):
        target = "main" if rng.random() < 0.5 else str(rng.choice(others))
        # A run that goes on is shorter than the whole.
        kills.append(Kill(target, float(rng.random()) * (0.7 if nth else 1.0)))
    return Trial(number, arm, asked, hosts, tuple(kills))


@contextmanager
def teacher(out: Path) -> Iterator[str]:
    """A teacher on loopback for all trials, always at one address; its books are `out/books.jsonl`."""
    known = out / "port"
    port = known.read_text(encoding="utf-8") if known.exists() else "0"
    command = ["experiments.reliability.teacher", "--books", str(out / "books.jsonl"), "--port", port]
    server = subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        port = server.stdout.readline().strip()
        if not port:
            raise RuntimeError(f"the teacher does not start: is the port in {known} taken?")
        known.write_text(port, encoding="utf-8")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait()


def overrides(trial: Trial, address: str) -> list[str]:
    """The run's settings, the same for all trials of a case: paths are of the folder in which it is started."""
    given = [*SMALL, f"arm={trial.arm}", f"runtime.hosts={trial.hosts}", "gateway.cache_path=cache.sqlite"]
    if trial.teacher == "loopback":
        given += ["teacher=openai_compatible", "teacher.model=stand-in", f"teacher.base_url={address}"]
    return [*given, "hydra.run.dir=run"]


def _hear_signals() -> None:
    """What runs in the background or under nohup inherits that signals are ignored."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def start(arguments: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """`ecc-fed run` in `folder`, in a session of its own; what it prints goes to output.txt there."""
    with (folder / "output.txt").open("ab") as file:
        command = [sys.executable, "-m", "ecc_fed.cli.main", "run", *arguments]
        return subprocess.Popen(
            command,
            cwd=folder,
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_hear_signals,
        )


def finish(run: subprocess.Popen[bytes]) -> int:
    """Waits for the run's end.

    Raises:
        TimeoutError: it hangs; then it is ended.
    """
    try:
        return run.wait(LONGEST_SECONDS)
    except subprocess.TimeoutExpired:
        for each in below(run.pid):
            each.end(signal.SIGKILL)
        run.kill()
        run.wait()
        raise TimeoutError(f"no end after {LONGEST_SECONDS:g} seconds") from None


def kill(run: subprocess.Popen[bytes], target: str, seconds: float) -> tuple[bool, list[Process]]:
    """Waits, then ends the target; whether it hit, and who was there."""
    part, number = TARGETS[target]
    try:
        run.wait(seconds)
        return False, []
    except subprocess.TimeoutExpired:
        pass
    there = below(run.pid)
    if not part:
        run.send_signal(number)
        return True, there
    found = [each for each in there if part in each.command]
    return bool(found) and found[0].end(number), there


def kill_until_it_ends(
    run: subprocess.Popen[bytes], kills: list[Kill], seconds: float, folder: Path
) -> tuple[list[dict[str, Any]], list[Process]]:
    """The next kills, until one ends the run; each that hit with the phase it met, and who was there at the last.

    A run outlives the loss of a host, and a kill whose target is not there.
    """
    met: list[dict[str, Any]] = []
    there: list[Process] = []
    while kills and run.poll() is None:
        each = kills.pop(0)
        hit, seen = kill(run, each.target, each.moment * seconds)
        there = seen or there
        if hit:
            met.append({"target": each.target, "phase": reached(folder)})
        if hit and each.target != "host":
            break
    return met, there


def unlike_code(code: int, hits: list[dict[str, Any]]) -> list[str]:
    """Whether a start ended with another code than that of what hit it last: a shell's, 1 for a lost Ray, 0 if done.

    At the very end of Python's own ending a signal has no answer but the system's.
    """
    part, number = TARGETS[hits[-1]["target"]] if hits else ("", None)
    usual = {0} if number is None else {0, 1} if part else {0, 128 + number, -number}
    return [] if code in usual else [f"ended with {code} after {hits[-1]['target'] if hits else 'no hit'}"]


def orphans(there: list[Process]) -> list[str]:
    """Those that still live some seconds after the end of the run; they are then ended."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    while (left := [each for each in there if each.lives]) and time.monotonic() < deadline:
        time.sleep(0.2)
    for each in left:
        each.end(signal.SIGKILL)
    return [each.command[:80] for each in left]


def fresh(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def undisturbed(out: Path, trial: Trial, address: str) -> tuple[Path, float]:
    """The run of the trial's case that nobody stops, made once, and its length in seconds."""
    folder = out / "undisturbed" / trial.case
    length = folder / "seconds.json"
    if not length.exists():
        began = time.monotonic()
        code = finish(start(overrides(trial, address), fresh(folder)))
        if code:
            raise RuntimeError(f"{folder}: the undisturbed run ended with {code}; see output.txt")
        length.write_text(json.dumps(time.monotonic() - began), encoding="utf-8")
    return folder, float(json.loads(length.read_text(encoding="utf-8")))


def try_out(trial: Trial, out: Path, address: str) -> dict[str, Any]:
    """One trial; its row for the log. The folder of one that failed stays, the others are removed."""
    reference, seconds = undisturbed(out, trial, address)
    folder, books = fresh(out / f"trial_{trial.number:04d}"), out / "books.jsonl"
    books.unlink(missing_ok=True)
    began, codes, wrong, met = time.monotonic(), [], [], []
    given, kills = overrides(trial, address), list(trial.kills)
    there: list[Process] = []
    try:
        while codes[-1:] != [0] and len(codes) < MOST_STARTS:
            wrong += orphans(there)
            run = start(way_on(folder / "run", given) if codes else given, folder)
            hits, there = kill_until_it_ends(run, kills, seconds, folder / "run")
            met += hits
            codes.append(finish(run))
            wrong += unlike_code(codes[-1], hits)
    except TimeoutError as error:
        wrong.append(str(error))
    wrong += orphans(there)
    if codes[-1:] != [0]:
        wrong.append(f"never ended well: {codes}")
    if not wrong:
        wrong = unlike(reference, folder, books if trial.teacher == "loopback" else None)
    if not wrong:
        shutil.rmtree(folder)
    return {
        **asdict(trial),
        "met": met,
        "codes": codes,
        "wrong": [each[:300] for each in wrong[:20]],
        "seconds": round(time.monotonic() - began, 1),
    }


def way_on(run: Path, given: list[str]) -> list[str]:
    """The arguments with which a run goes on, or starts again where it was stopped before it had claimed its folder."""
    if not (run / "claim.json").exists():
        return given
    kept = (run / ".hydra" / "config.yaml").exists()
    return ["--resume", run.name, *([] if kept else given)]


def unlike(reference: Path, folder: Path, books: Path | None) -> list[str]:
    """What tells a trial from the undisturbed run: files, cache, and the books of the teacher that was asked."""
    found = differences(reference / "run", folder / "run")
    if replies(reference / "cache.sqlite") != replies(folder / "cache.sqlite"):
        found.append("the caches differ")
    if books is None:
        return found
    found = [each for each in found if Path(each.split()[0]).name not in ADDED]
    if interrupted(folder / "run"):  # a call that was under way is paid for twice: in the books, and nowhere else
        found = [each for each in found if Path(each.split()[0]).name not in BOOKS]
    if ledger(reference / "run") != ledger(folder / "run"):
        found.append("the ledgers differ")
    return [*found, *unlike_books(folder / "run", books)]


def replies(cache: Path) -> list[tuple[Any, ...]]:
    """All rows of a cache."""
    with closing(sqlite3.connect(cache)) as connection:
        return connection.execute("SELECT * FROM replies ORDER BY shop_id, key").fetchall()


def reached(run: Path) -> str:
    """How far a run had come, by its files."""
    for name, pattern in (
        ("done", "summary.json"),
        ("collecting", "samples.jsonl"),
        ("final evaluation", "shops/*/evaluation_final*"),
        ("round 3", "shops/*/round_0003"),
        ("round 2", "shops/*/round_0002"),
        ("round 1", "shops/*/round_0001"),
        ("base evaluation", "shops/*/evaluation_base*"),
        ("starting", ".hydra"),
    ):
        if any(run.glob(pattern)):
            return name
    return "nothing written"


def show(row: dict[str, Any]) -> None:
    """A trial on one line."""
    what = f"{row['arm']:<13}{row['teacher']:<10}{row['hosts']}"
    met = ", ".join(f"{each['target']} in {each['phase']}" for each in row["met"])
    state = "; ".join(row["wrong"]) or "equal"
    print(f"{row['number']:>4} {what} {row['codes']} {row['seconds']:>6}s  {state}: {met or 'no hit'}", flush=True)


def main() -> int:
    """Runs the trials that the log lacks, then prints what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="kills in all, at least")
    parser.add_argument("--seed", type=int, default=0, help="what every trial is drawn from")
    parser.add_argument("--first", type=int, default=0, help="the number of the first trial")
    parser.add_argument("--out", type=Path, default=Path("runs/kills"), help="where the log and the runs lie")
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    log = out / "log.jsonl"
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    known = {row["number"] for row in rows if row["seed"] == arguments.seed}
    with teacher(out) as address:
        for number in (n for n in count(arguments.first) if n not in known):
            if sum(len(row["met"]) for row in rows) >= arguments.kills:
                break
            row = {"seed": arguments.seed, **try_out(draw(arguments.seed, number), out, address)}
            rows.append(row)
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            show(row)
    bad = [row for row in rows if row["wrong"]]
    hits = [{**row, **each} for row in rows for each in row["met"]]
    for key in ("target", "phase", "arm", "teacher"):
        print(key, dict(Counter(each[key] for each in hits)))
    print(f"{len(hits)} kills in {len(rows)} trials; {len(bad)} ended otherwise")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
