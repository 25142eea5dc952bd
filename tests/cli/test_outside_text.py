"""Names, dialogues, replies and errors from outside reach the terminal and the report's files as text, nothing else."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from rich.table import Table

from ecc_fed.cli.chat import Chat
from ecc_fed.cli.console import TextConsole
from ecc_fed.cli.corpus import _shop_table
from ecc_fed.cli.main import main
from ecc_fed.cli.progress import run_progress
from ecc_fed.core.outside_text import MOST_CHARACTERS
from ecc_fed.core.records import Shop
from ecc_fed.core.rows import FailureRow
from ecc_fed.reporting.report import report
from tests.reporting.conftest import write_run

# Takes over a terminal and its clipboard; turns the line around; is markup; ends a tag of rich that none began.
HOSTILE = "店[red]r[/red][/x]\x1b[31m\x1b]52;c;eA==\x07\x9b2J\r\u202e\u2066[link=e]<b>&`|`</b>"
SEEN = "店[red]r[/red][/x]\\u001b[31m\\u001b]52;c;eA==\\u0007\\u009b2J\\u000d\\u202e\\u2066[link=e]<b>&`|`</b>"
ON_TERMINAL = SEEN.replace("\\u0007", "").replace("\\u000d", "")  # rich itself leaves these two out
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def _shown(console_text: str) -> str:
    """Without the line breaks and frames of tables."""
    assert not _COMMANDS.search(console_text)
    return re.sub(r"[\s│┃║|]+", "", console_text)


def test_a_corpus_of_hostile_shops_and_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    turns = [{"role": role, "text": f"{HOSTILE} {i}"} for i in range(3) for role in ("customer", "agent")]
    lines = [{"shop": shop, "session": f"{shop}{i}", "turns": turns} for shop in (HOSTILE, "b") for i in range(9)]
    for number, line in enumerate(lines):
        line["turns"] = [{**turn, "text": f"{turn['text']}{number}{chr(0x4E00 + 99 * number) * 9}"} for turn in turns]
    path = tmp_path / "[red]hostile\x1b[31m.jsonl"
    path.write_text("\n".join(map(json.dumps, [*lines, {"turns": [{"role": HOSTILE, "text": ""}]}])) + "\n")
    given = ["corpus=jsonl", f"corpus.path='{path}'", "corpus.num_shops=2", "partition=natural"]
    assert main(["corpus", *given, "--pairs", "1"]) == 0
    shown = capsys.readouterr().out
    assert "[red]hostile\\u001b[31m.jsonl(jsonl,zh)" in _shown(shown)
    assert "店[red]r[/red][/x]" in _shown(shown) and "role'店[red]" in _shown(shown)
    assert main(["corpus", *given, "--json"]) == 0
    shown = capsys.readouterr().out
    assert not _COMMANDS.search(shown) and len(json.loads(shown)["shops"]) == 2


def test_a_report_on_hostile_names(tmp_path: Path) -> None:
    names = {"shop_names": [HOSTILE, f"=cmd|' /C calc'!A0{HOSTILE}"]}
    for seed, arm in enumerate(("=SUM(A1)", HOSTILE, "-1+1", "@x", "\tx")):
        failures = [FailureRow("shop_failed", HOSTILE, 1, HOSTILE)]
        root = write_run(tmp_path / f"run{seed}", "local", 0, queries=4, failures=failures, world=HOSTILE, **names)
        run = json.loads((root / "run.json").read_text())
        (root / "run.json").write_text(json.dumps(run | {"arm": arm, "teacher": HOSTILE}))
    out = io.StringIO()
    page = report([tmp_path], console=TextConsole(file=out, width=400)).read_text()
    assert "店[red]r[/red][/x]" in _shown(out.getvalue())
    assert not _COMMANDS.search(page)
    assert "<b>" not in page and "\\u001b[31m" in page and "&lt;b&gt;" in page
    table = (tmp_path / "arms.md").read_text()
    assert (
        not _COMMANDS.search(table)
        and "\\[red\\]" in table
        and "\\`\\|\\`" in table
        and "<b>" not in table.replace("\\<b", "")
    )
    assert len(table.splitlines()) == 2 + 5
    rows = list(csv.reader(io.StringIO((tmp_path / "arms.csv").read_text())))
    assert {row[0] for row in rows[1:]} == {"'=SUM(A1)", SEEN, "'-1+1", "'@x", "'\\u0009x"}


def test_a_hostile_shop_of_a_users_own_corpus() -> None:
    out = io.StringIO()
    TextConsole(file=out, width=600).print(_shop_table([Shop(HOSTILE, (), (), (), HOSTILE)]))
    assert _shown(out.getvalue()).count("店[red]r[/red][/x]") == 2


def test_brackets_and_colons_are_text_in_every_line_and_table() -> None:
    out = io.StringIO()
    console = TextConsole(file=out, width=200)
    table = Table("[/h]", title="[/t]")
    table.add_row("[b]:ok:[/c]")
    console.print("[/x] :smile: [red]a[/red]", table)
    assert all(text in out.getvalue() for text in ("[/x] :smile: [red]a[/red]", "[/h]", "[/t]", "[b]:ok:[/c]"))


def test_progress_of_a_hostile_name() -> None:
    for terminal in (False, True):
        out = io.StringIO()
        with run_progress(HOSTILE, TextConsole(file=out, width=300, force_terminal=terminal)) as on_progress:
            on_progress(HOSTILE, 0, 2)
        assert ("店[red]r[/red]" if terminal else ON_TERMINAL) in out.getvalue()
        assert "\x1b]52" not in out.getvalue() and "\x9b" not in out.getvalue() and "\x07" not in out.getvalue()


def test_an_error_is_shown_cut_and_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", HOSTILE]) == 2
    assert ON_TERMINAL in capsys.readouterr().err
    assert main(["report", "long" * 10_000]) == 2
    assert len(capsys.readouterr().err) < MOST_CHARACTERS + 100
    assert main([HOSTILE]) == 2
    assert ON_TERMINAL in capsys.readouterr().err


def test_what_a_cloud_and_a_model_say_in_a_chat() -> None:
    out = io.StringIO()
    console = TextConsole(file=out, soft_wrap=True, highlight=False, force_terminal=True)
    chat = Chat(None, console)  # type: ignore[arg-type]  # neither needs a review
    chat._say(HOSTILE)
    chat._tell(HOSTILE)
    assert out.getvalue().count(ON_TERMINAL) == 2
