import pytest

from ecc_fed.cli import main as cli
from ecc_fed.cli.going_on import going_on
from ecc_fed.core.errors import EccError
from ecc_fed.hosts.standstill import HostStalled
from ecc_fed.hosts.waiting import RayDied


@pytest.mark.parametrize(
    ("end", "code", "told"),
    [
        (KeyboardInterrupt(), 130, "Stopped. What was finished is kept. Go on with: ecc-fed run --resume 'a b'\n"),
        (
            RayDied("Ray is gone."),
            1,
            "Error: Ray is gone. What was finished is kept. Go on with: ecc-fed run --resume 'a b'\n",
        ),
        (
            HostStalled("It hangs."),
            1,
            "Error: It hangs. What was finished is kept. Go on with: ecc-fed run --resume 'a b'\n",
        ),
        (EccError("Another reason."), 1, "Error: Another reason.\n"),
    ],
)
def test_whoever_reads_of_an_end_is_told_how_to_go_on(end, code, told, monkeypatch, capsys):
    def command(rest: list[str]) -> int:
        with going_on("ecc-fed run --resume 'a b'"):
            raise end

    monkeypatch.setattr(cli, "COMMANDS", {"run": (lambda: command, "")})
    assert cli.main(["run"]) == code
    assert capsys.readouterr().err == told
