import os
import signal
import subprocess
import sys

import pytest

from ecc_fed.cli import main as cli
from ecc_fed.cli.stopping import stopping
from ecc_fed.cli.streams import lasting_output


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_ends_a_command_with_one_line_and_the_usual_code(number, code, monkeypatch, capsys):
    ended = []

    def command(rest: list[str]) -> int:
        try:
            signal.raise_signal(number)
        finally:
            ended.append("in good order")
            if number != signal.SIGINT:
                signal.raise_signal(signal.SIGHUP)  # as at the end of a terminal, right after the other
        return 0

    monkeypatch.setattr(cli, "COMMANDS", {"run": (lambda: command, "")})
    usual = signal.getsignal(signal.SIGTERM)
    assert cli.main(["run"]) == code
    assert ended == ["in good order"]
    assert capsys.readouterr().err == "Stopped. What was finished is kept.\n"
    assert signal.getsignal(signal.SIGTERM) is usual


def test_a_command_that_ends_well_after_a_signal_tells_of_the_signal(monkeypatch):
    def chat(rest: list[str]) -> int:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            return 0
        return 1

    monkeypatch.setattr(cli, "COMMANDS", {"chat": (lambda: chat, "")})
    assert cli.main(["chat"]) == 143


def test_what_is_ignored_stays_ignored():
    usual = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping() as stop:
            signal.raise_signal(signal.SIGHUP)
        assert stop.number is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, usual)


def test_work_goes_on_where_nobody_reads_what_it_prints(tmp_path):
    code = """
import sys
from ecc_fed.cli import main as cli
def command(rest):
    for _ in range(3):
        print("told" * 10000)
        print("told", file=sys.stderr, flush=True)
    open(rest[0], "w").write("finished")
    return 0
cli.COMMANDS = {name: (lambda: command, "") for name in ("run", "corpus")}
sys.exit(cli.main(sys.argv[1:]))
"""
    for name, expected in (("run", 0), ("corpus", 1)):
        file = tmp_path / name
        reading, writing = os.pipe()
        os.close(reading)
        process = subprocess.Popen([sys.executable, "-c", code, name, file], stdout=writing, stderr=writing)
        os.close(writing)
        assert process.wait(timeout=30) == expected
        assert file.exists() == (name == "run")


def test_output_that_is_read_is_left_as_it_is(capsys):
    with lasting_output(stdout=True):
        print("here")
        print("there", file=sys.stderr)
        assert sys.stdout.encoding and not sys.stdout.isatty()
    assert capsys.readouterr() == ("here\n", "there\n")
