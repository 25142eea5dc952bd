"""However a run is ended from outside, nothing of it is left running or lying about."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.xdist_group("ray_hosts"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc"),
]
# Work without end: it is the test that ends it.
ENDLESS = [
    "arm=aggregated",
    "corpus.num_shops=2",
    "corpus.pairs_per_shop=8",
    "corpus.test_pairs_per_shop=2",
    "decoding.max_new_tokens=2",
    "evolution.server_rounds=1",
    "finetune.steps=1000000",
    "runtime.shops_per_batch=2",
]
ON_RAY, IN_PROCESS = 2, 1  # hosts
START_SECONDS, END_SECONDS = 120, 20


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def alive(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def descendants(process_id: int) -> list[int]:
    found = [int(child) for child in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]
    return [*found, *(further for child in found if alive(child) for further in descendants(child))]


class Run:
    """`ecc-fed run` in a terminal of its own."""

    def __init__(self, folder: Path, hosts: int) -> None:
        self._hosts = hosts
        self.temporary = Path(f"/tmp/t{os.getpid()}")
        self.temporary.mkdir()
        given = [*ENDLESS, f"runtime.hosts={hosts}", f"hydra.run.dir={folder / 'run'}"]
        self.terminal, inside = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ecc_fed.cli.main", "run", *given],
            stdin=inside,
            stdout=inside,
            stderr=(folder / "stderr").open("w"),
            start_new_session=True,
            preexec_fn=lambda: os.close(os.open(os.ttyname(1), os.O_RDWR)),  # makes it the terminal of the session
            env={**os.environ, "RAY_TMPDIR": str(self.temporary)},
        )
        os.close(inside)
        self._stderr = folder / "stderr"
        self.processes: list[int] = []
        self.way_on = f"Go on with: ecc-fed run --resume {folder / 'run'}"

    def wait_until_at_work(self) -> None:
        """Waits until its shops are."""
        # The line of the round comes with its first reply, so never here.
        wait_for(lambda: "evaluating (base)" in self.stderr(), START_SECONDS, f"no start: {self.stderr()}")
        self.processes = descendants(self.process.pid)
        assert (len(self.processes) > 5) == (self._hosts == ON_RAY)

    def stderr(self) -> str:
        return self._stderr.read_text()

    def named(self, name: str) -> int:
        """The one process with the name."""
        (found,) = [p for p in self.processes if Path(f"/proc/{p}/comm").read_text().startswith(name)]
        return found

    def ended(self) -> tuple[int, list[str]]:
        """The exit code and the last lines on standard error, once nothing is left."""
        wait_for(lambda: self.process.poll() is not None, END_SECONDS, "the run goes on")
        wait_for(lambda: not any(map(alive, self.processes)), 8, "processes are left")
        wait_for(lambda: not list(self.temporary.iterdir()), 2, "files are left")
        lines = self.stderr().splitlines()
        return self.process.returncode, [line for line in lines if not line.startswith("aggregated: ")]

    def clear(self) -> None:
        """Ends what a failed test leaves."""
        for process_id in (self.process.pid, *self.processes):
            if alive(process_id):
                os.kill(process_id, signal.SIGKILL)
        self.process.wait()
        subprocess.run(["rm", "-rf", self.temporary], check=True)


@pytest.fixture(params=[ON_RAY, IN_PROCESS])
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Run]:
    run = Run(tmp_path, request.param)
    try:
        run.wait_until_at_work()
        yield run
    finally:
        run.clear()


def test_sigterm_is_one_line(run: Run) -> None:
    run.process.terminate()
    assert run.ended() == (143, [f"Stopped. What was finished is kept. {run.way_on}"])


def test_a_closed_terminal_ends_all(run: Run) -> None:
    os.close(run.terminal)
    assert run.ended()[0] == 129


def test_a_killed_main_process_takes_all_with_it(run: Run) -> None:
    run.process.kill()
    assert run.ended() == (-9, [])


@pytest.mark.parametrize("run", [ON_RAY], indirect=True)
def test_a_dead_raylet_is_one_error(run: Run) -> None:
    os.kill(run.named("raylet"), signal.SIGKILL)
    code, lines = run.ended()
    assert code == 1
    told = rf"Error: Ray's process raylet ended while the run was at work: .* {re.escape(run.way_on)}"
    assert re.fullmatch(told, " ".join(lines))
