"""Means over unlike test replies, and rates of replies that nobody judged, are told and not compared in silence."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from ecc_fed.reporting.counts import escalation
from ecc_fed.reporting.coverage import unlike_phases
from ecc_fed.reporting.report import report
from ecc_fed.reporting.run import load_run
from ecc_fed.reporting.study import load_study
from ecc_fed.reporting.summary import summarise


def change(path: Path, edit) -> None:
    """`edit` gives each row back changed, or None to leave it out."""
    rows = [edit(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows if row is not None))


def without_final(row):
    return None if (row["phase"], row["shop_id"]) == ("final", "shop_02") else row


def unjudged_final(row):
    lost = row["phase"] == "final" and row["shop_id"] in ("shop_01", "shop_02")
    return row | {"final_score": None, "similarity": None, "relevance": None} if lost else row


def judged_all(row):
    return row | {"final_score": 0.5}


def test_phases_of_one_coverage_need_no_note(make_run):
    run = make_run("a", queries=3)
    change(run / "samples.jsonl", judged_all)
    assert unlike_phases(load_run(run)) == [] == summarise(run)["notes"]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            without_final,
            "unlike test replies: 12 from 4 shops before, 9 from 3 shops after. The",
        ),
        (unjudged_final, "unlike judged test replies: 12 from 4 shops before, 6 from 2 shops after. The paired"),
    ],
)
def test_phases_of_unlike_coverage_are_told_everywhere(make_run, capsys, edit, said):
    run = make_run("a", queries=3)
    change(run / "samples.jsonl", judged_all)
    change(run / "samples.jsonl", edit)
    (note,) = summarise(run)["notes"]
    assert said in note
    assert any(said in told for told in load_study([run]).notes)
    page = report([run], console=Console(width=400)).read_text()
    assert said in page and said in capsys.readouterr().out


def test_replies_that_nobody_judged_have_no_escalation_rate(make_run):
    """The teacher died in round 3: no reply was judged from then on."""
    run = make_run("a")

    def died(row):
        gone = {"mean_score": None, "escalated": 0, "teacher_failed": row["teacher_requests"]}
        return row | gone if row["server_round"] >= 3 else row

    change(run / "metrics.jsonl", died)
    rates = summarise(run)["serving"]["escalation_rate"]
    assert [rate is None for rate in rates] == [False, False, True, True]
    loaded = load_run(run)
    assert escalation([loaded], last=True, seed=0) is None
    assert escalation([loaded], last=False, seed=0) is not None


def test_a_round_whose_replies_needed_no_reference_was_judged_by_the_gate(make_run):
    run = make_run("a")
    unasked = {"mean_score": None, "escalated": 0, "teacher_requests": 0}
    change(run / "metrics.jsonl", lambda row: row | unasked)
    assert summarise(run)["serving"]["escalation_rate"] == [0.0] * 4


def test_escalation_draws_shops_of_every_seed_then_queries(make_run):
    runs = [load_run(make_run(f"s{seed}", seed=seed, shops=2, rounds=1)) for seed in (0, 1)]
    estimate = escalation(runs, last=True, seed=0)
    assert (estimate.n, estimate.shops, estimate.dialogues) == (160, 4, 160)
    total = sum(row.escalated for run in runs for row in run.metrics)
    assert estimate.mean == total / 160
    assert escalation(runs[:1], last=True, seed=0).shops == 2
