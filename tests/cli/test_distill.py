import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ecc_fed.cli.main import main
from ecc_fed.core.run_directory import read_json, read_jsonl
from tests.teacher.providers.loopback import MODEL_VERSION, Loopback, loopback

KEY = "TestKey-5f1c9b2e7d"
PRICES = "++teacher.prices={cloud-1: {input: 2.0, output: 10.0}}"


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback() as running:
        yield running


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two shops of 20 sessions, no two alike (near copies would be dropped)."""
    path = tmp_path / "dialogues.jsonl"
    rng = random.Random(5)

    def words(count: int) -> str:
        return "".join(chr(0x4E00 + rng.randrange(3000)) for _ in range(count))

    lines = [
        {
            "shop": f"shop-{number % 2}",
            "session": f"s{number}",
            "turns": [{"role": "customer", "text": words(12)}, {"role": "agent", "text": words(15)}],
        }
        for number in range(40)
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def command(server: Loopback, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("TEST_API_KEY", KEY)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    return [
        "distill",
        "--out",
        "set",
        "teacher=openai_compatible",
        "teacher.model=cloud-1",
        f"teacher.base_url={server.url}/v1",
        "teacher.api_key_env=TEST_API_KEY",
        "corpus=jsonl",
        f"corpus.path={corpus}",
        "corpus.num_shops=2",
        "partition=natural",
        "gateway.max_attempts=1",
    ]


def said(capsys: pytest.CaptureFixture[str]) -> str:
    shown = capsys.readouterr()
    return " ".join((shown.out + shown.err).split())


def test_a_free_teacher_starts_at_once(
    command: list[str], server: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    rows = read_jsonl(Path("set/distill.jsonl"))
    assert len(rows) == len(server.requests) > 10
    assert {row["model_version"] for row in rows} == {MODEL_VERSION}
    assert all(row["reply"] == f"回复：{row['query']}" for row in rows)
    shown = said(capsys)
    assert f"{len(rows)} of {len(rows)} queries have no reply" in shown
    assert "at most $0" in shown
    assert KEY not in shown
    assert not any(KEY.encode() in path.read_bytes() for path in Path("set").rglob("*") if path.is_file())
    assert main(command) == 0
    assert len(server.requests) == len(rows)


def test_a_priced_teacher_waits_for_a_yes(
    command: list[str], server: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, PRICES]) == 2
    assert "add --yes to start, and gateway.max_cost_usd=X to bound it" in said(capsys)
    assert server.requests == []
    assert not Path("set").exists()
    assert main([*command, PRICES, "--yes"]) == 0
    assert read_json(Path("set/distill.json"))["spent"]["cost_usd"] > 0


def test_the_budget_stops_it_and_a_larger_one_goes_on(
    command: list[str], server: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "gateway.max_requests=7"]) == 1
    assert "max_requests is 7" in said(capsys)
    assert len(read_jsonl(Path("set/distill.jsonl"))) == 7
    assert main(command) == 0
    rows = read_jsonl(Path("set/distill.jsonl"))
    assert len({row["pair_id"] for row in rows}) == len(rows) == len(server.requests)


def test_what_left_is_kept_word_for_word_where_that_is_asked_for(
    command: list[str], server: Loopback, tmp_path: Path
) -> None:
    assert main([*command, "--limit", "4"]) == 0
    assert not list((tmp_path / "set").rglob("teacher_texts.jsonl"))
    assert main([*command, "privacy.keep_text=true", "--limit", "8"]) == 0
    texts = {row["digest"]: row["text"] for row in read_jsonl(tmp_path / "set" / "teacher_texts.jsonl")}
    sent = server.requests[4:]
    assert {each.said for each in sent} <= {*texts.values()} and len(sent) == 4
    ledger = [row for row in read_jsonl(tmp_path / "set" / "egress.jsonl") if row["kind"] == "query"]
    assert [texts.get(row["digest"]) for row in ledger[:4]] == [None] * 4
    assert sorted(texts[row["digest"]] for row in ledger[4:]) == sorted(each.said for each in sent)


def test_limit_and_split(command: list[str], server: Loopback) -> None:
    assert main([*command, "--limit", "3"]) == 0
    assert len(server.requests) == 3
    assert main([*command, "--limit", "5"]) == 0
    assert len(server.requests) == 5
    command[2] = "other"
    assert main([*command, "--split", "history,stream", "--limit", "4"]) == 0
    assert {row["split"] for row in read_jsonl(Path("other/distill.jsonl"))} == {"history"}


def test_what_failed_is_told_and_asked_again(
    command: list[str], server: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    server.plan.extend(["blocked_prompt", "broken_json"])
    assert main([*command, "--limit", "6"]) == 1
    assert "2 queries have none (blocked 1, malformed 1); set/distill.json says why" in said(capsys)
    assert main([*command, "--limit", "6"]) == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--split", "test"], "the test part stays unseen"),
        (["--limit", "0"], "--limit 0: give a number from 1"),
        (["--limit"], "--limit needs a value"),
        (["--no"], "There is no flag --no"),
        (["teacher.api_key_env=UNSET_KEY"], "UNSET_KEY is not set"),
        (["teacher.temperature=9"], "teacher.temperature=9"),
    ],
)
def test_mistakes_leave_nothing_behind(
    command: list[str], more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, *more]) == 2
    assert message in said(capsys)
    assert not Path("set").exists()


def test_another_teacher_needs_another_folder(
    command: list[str], server: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--limit", "3"]) == 0
    assert main([*command, "--limit", "3", "teacher.model=cloud-2"]) == 2
    assert "its model is cloud-1, this command's is cloud-2" in said(capsys)


def test_at_a_terminal_it_asks(
    command: list[str], server: Loopback, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    answers = iter(["", "y"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(Console, "is_terminal", property(lambda self: True))
    monkeypatch.setattr(Console, "input", lambda self, prompt: next(answers))
    assert main([*command, PRICES]) == 0
    assert "Nothing was asked" in said(capsys)
    assert server.requests == []
    assert main([*command, PRICES]) == 0
    assert server.requests != []


def test_a_dead_server_ends_it(command: list[str], server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    server.close()
    assert main([*command, "gateway.max_parallel=4"]) == 1
    shown = said(capsys)
    assert "The teacher answered none of the last 16 requests (unavailable" in shown
    assert "is the server running" in shown
    assert "Traceback" not in shown


def test_gemini_too(command: list[str], server: Loopback) -> None:
    changed: list[Any] = [part for part in command if not part.startswith(("teacher=", "teacher.base_url"))]
    changed += ["teacher=gemini", f"teacher.base_url={server.url}", PRICES, "--yes", "--limit", "3"]
    assert main(changed) == 0
    assert server.requests[0].path.endswith("cloud-1:generateContent")
    assert len(read_jsonl(Path("set/distill.jsonl"))) == 3
