"""Marks on disk, the last word on a reply, and how far marks and scores agree."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.core.records import Turn
from ecc_fed.core.statistics import Units, bootstrap_auc, bootstrap_kappa
from ecc_fed.evolution.review.marks import Mark, agreement, append_mark, last_words, read_marks

MARK = Mark(
    time="2026-01-02T03:04:05+00:00",
    shop_id="s",
    pair_id="p",
    context=(Turn("customer", "hi"), Turn("agent", "亲")),
    query="q",
    reply="r",
    mark="good",
    better=None,
    label=None,
    cloud_reply="c",
    cloud_model="m1",
    similarity=0.25,
    relevance=0.5,
    cloud_relevance=0.75,
    final_score=0.6,
    relevance_trusted=True,
    accepted=False,
    reply_seed=7,
    adapter_sha256=None,
    model="embedded",
    model_sha256="f00d",
)


def test_marks_are_read_as_they_were_written_oldest_first(tmp_path: Path) -> None:
    path = tmp_path / "chat" / "marks.jsonl"
    assert read_marks(path) == []
    marks = [MARK, replace(MARK, mark="better", better="b", context=()), replace(MARK, mark="bad", final_score=None)]
    for mark in marks:
        append_mark(path, mark)
    assert read_marks(path) == marks
    assert [mark.good for mark in marks] == [True, False, False]


@pytest.mark.parametrize("change", [{"mark": "fine"}, {"extra": 1}, {"context": [{"role": "agent"}]}, {"context": 3}])
def test_a_line_that_is_no_mark_is_named_with_its_remedy(tmp_path: Path, change: dict) -> None:
    path = tmp_path / "marks.jsonl"
    append_mark(path, MARK)
    row = json.loads(path.read_text())
    path.write_text(f"{json.dumps(row)}\n{json.dumps(row | change)}\n")
    with pytest.raises(RunDirectoryError, match=r"marks.jsonl, row 2: .*; repair or remove that line$"):
        read_marks(path)
    del row["better"]
    path.write_text(f"{json.dumps(row)}\n")
    with pytest.raises(RunDirectoryError, match="row 1: better is missing; repair or remove that line"):
        read_marks(path)


def test_the_last_word_counts_for_each_reply_to_each_query() -> None:
    marks = [MARK, replace(MARK, reply="other"), replace(MARK, pair_id="p2"), replace(MARK, mark="bad")]
    assert last_words(marks) == [marks[3], marks[1], marks[2]]
    assert last_words([]) == []


def test_a_score_at_the_accept_score_agrees_with_a_good_mark() -> None:
    # Below it a reply is escalated; at it, it is not.
    below = float(np.nextafter(0.6, 0))
    scored = [("good", 0.6), ("bad", below), ("good", 0.9), ("bad", 0.1)]
    marks = [replace(MARK, reply=str(i), mark=mark, final_score=score) for i, (mark, score) in enumerate(scored)]  # type: ignore[arg-type]
    found = agreement(marks, 0.6, seed=3)
    assert found.kappa is not None and found.kappa.mean == 1
    assert found.kappa == bootstrap_kappa(
        [True, False, True, False], [True, False, True, False], Units.single(4), seed=3
    )
    assert found.auc == bootstrap_auc([0.6, below, 0.9, 0.1], [True, False, True, False], Units.single(4), seed=3)
    assert (found.scored, found.marked, found.good) == (4, 4, 2)
    unscored = agreement([replace(MARK, final_score=None)], 0.6, seed=0)
    assert (unscored.kappa, unscored.auc, unscored.scored, unscored.marked, unscored.good) == (None, None, 0, 1, 1)


def test_intervals_depend_on_the_seed() -> None:
    rng = np.random.default_rng(0)
    marks = [
        replace(MARK, reply=str(i), mark="good" if draw > 0.4 else "bad", final_score=float(score))
        for i, (draw, score) in enumerate(rng.random((40, 2)))
    ]
    assert agreement(marks, 0.5, seed=1) == agreement(marks, 0.5, seed=1)
    first, second = agreement(marks, 0.5, seed=1), agreement(marks, 0.5, seed=2)
    assert first.kappa != second.kappa and first.auc != second.auc
