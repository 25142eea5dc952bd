"""The check of a run's ledger, on runs with small models and on ledgers that somebody has changed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ecc_fed.core.records import EgressEntry, TeacherText
from ecc_fed.core.rows import read_rows, write_rows
from ecc_fed.core.run_directory import RunDirectory, read_jsonl
from ecc_fed.evolution.sent import SENT
from ecc_fed.teacher.gateway.texts import TEACHER_TEXTS
from experiments.privacy.ledger import check, main
from tests.runs.test_resume import asked, small_models, start  # noqa: F401

UP = ("cloud_teacher", "up")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    start(tmp_path, "arm=aggregated", "privacy.keep_text=true")
    return RunDirectory(tmp_path)


def test_every_text_that_left_is_kept_and_every_answer_was_written_down(
    run: RunDirectory, capsys: pytest.CaptureFixture
) -> None:
    found = check(run)
    assert (found.wrong, found.lost) == ([], 0)
    for kind in ("instruction", "query"):
        line = found.lines[(*UP, kind)]
        assert line.with_text == line.entries > 0
    entries = read_rows(run.egress, EgressEntry)
    assert all(entry.digest for entry in entries)
    assert {entry.kind for entry in entries if entry.destination == "aggregator"} == {
        "adapter", "metrics", "config", "envelope",
    }  # fmt: skip
    texts = read_rows(run.teacher_texts, TeacherText)
    order = list(dict.fromkeys((e.shop_id, e.digest) for e in entries if (e.destination, e.direction) == UP))
    assert [(text.shop_id, text.digest) for text in texts] == order, "in the ledger's order, each once"
    assert main([str(run.root)]) == 0
    assert "Nothing is wrong." in capsys.readouterr().out


def test_without_keep_text_no_word_for_the_teacher_is_kept_or_in_the_ledger(tmp_path: Path) -> None:
    start(tmp_path, "arm=local")
    assert not list(tmp_path.rglob(TEACHER_TEXTS))
    directory = RunDirectory(tmp_path)
    queries = {row["query"] for row in read_jsonl(directory.samples)}
    for path in [directory.egress, *tmp_path.rglob("egress.jsonl"), *tmp_path.rglob(SENT)]:
        assert queries and not [query for query in queries if query in path.read_text(encoding="utf-8")]
    found = check(directory)
    assert found.wrong == [] and {line.with_text for line in found.lines.values()} == {0}


def test_what_was_changed_afterwards_is_found(run: RunDirectory, capsys: pytest.CaptureFixture) -> None:
    entries, texts = read_rows(run.egress, EgressEntry), read_rows(run.teacher_texts, TeacherText)
    query = next(place for place, text in enumerate(texts) if text.kind == "query")
    write_rows(run.teacher_texts, [*texts[:query], replace(texts[query], text="别的"), *texts[query + 1 :]])
    assert any("has not the digest" in each for each in check(run).wrong)
    write_rows(run.teacher_texts, texts[:-1])
    assert any(each.endswith("its text is not kept") for each in check(run).wrong)
    write_rows(run.teacher_texts, texts)
    larger = [replace(e, num_bytes=e.num_bytes + 1) if (e.destination, e.direction) == UP else e for e in entries]
    write_rows(run.egress, larger)
    assert len(check(run).wrong) == sum((e.destination, e.direction) == UP for e in entries)
    assert main([str(run.root)]) == 1
    write_rows(run.egress, entries)
    path = run.shop(entries[-1].shop_id) / SENT
    sent = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(sent[:-1]))
    assert [each.split(": ")[1] for each in check(run).wrong] == [
        f"{json.loads(sent[-1])['kind']} {json.loads(sent[-1])['digest']} came and never left"
    ]
    path.write_bytes(b"".join([*sent, *sent[-2:]]))
    assert (check(run).wrong, check(run).lost) == ([], 1), "sent again"
    run.egress.unlink()
    assert main([str(run.root)]) == 2
    assert "egress.jsonl is missing" in capsys.readouterr().err
