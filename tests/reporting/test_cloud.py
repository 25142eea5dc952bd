"""Calls of every phase, and a teacher that died, stand in the summary, on the page and on the console."""

import json

from rich.console import Console

from ecc_fed.core.records import RedactionCounts
from ecc_fed.core.rows import CloudCalls, FailureRow, encode
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.reporting.cloud import asked_by_round, rounds_table
from ecc_fed.reporting.redaction import redaction_table
from ecc_fed.reporting.report import report
from ecc_fed.reporting.run import load_run
from ecc_fed.reporting.study import load_study
from ecc_fed.reporting.summary import summarise
from ecc_fed.runs.cloud import ended

GONE = FailureRow("teacher_gone", "no reply from round 2 to the end of the run: unavailable: HTTP 503", 2)
CLOUD = {
    "base": CloudCalls(12, 0, 0, 3000, 500, 0.25),
    "stream": CloudCalls(40, 8, 3, 9000, 700, 0.5, {"timeout: late": 3}),
    "final": CloudCalls(12, 0, 12, errors={"unavailable: HTTP 503": 12}),
}


def with_cloud(run, **more):
    info = json.loads((run / "run.json").read_text())
    info["cloud"] = {phase: encode(calls) for phase, calls in CLOUD.items()}
    (run / "run.json").write_text(json.dumps(info | more))
    return run


def test_calls_by_phase_stand_everywhere(make_run, capsys):
    run = with_cloud(make_run("a", queries=3), teacher="GeminiTeacher")
    assert summarise(run)["cloud"]["final"]["failed"] == 12
    assert summarise(run)["cloud"]["base"]["cost_usd"] == 0.25
    page = report([run], console=Console(width=400)).read_text()
    shown = capsys.readouterr().out
    assert "What was asked of the cloud, phase by phase" in page
    assert "unavailable: HTTP 503" in page and "0.2500" in page
    assert (
        "Asked of the cloud, local: evaluation before 12 (0 cached, $0.2500); rounds 40 (8 cached, 3 failed, $0.5000); "
        "evaluation after 12 (0 cached, 12 failed, $0.0000)."
    ) in shown
    assert "the teacher was gone" not in page + shown
    assert ended([RunDirectory(run)]) == 0


def test_dollars_of_a_simulated_teacher_are_told_as_its_own(make_run, capsys):
    report([with_cloud(make_run("a", queries=3), teacher="RetrievalTeacher")], console=Console(width=400))
    assert "Asked of the simulated teacher, local: evaluation before 12 (0 cached, $0.2500)" in capsys.readouterr().out


def test_a_teacher_that_died_is_named_on_top_and_is_no_good_end(make_run, capsys):
    run = with_cloud(make_run("a", queries=3), failures=[encode(GONE)])
    page = report([run], console=Console(width=400)).read_text()
    note = "local, seed 0: the teacher was gone, no reply from round 2 to the end of the run: unavailable: HTTP 503."
    assert capsys.readouterr().out.startswith(note)
    assert page.index(note) < page.index('id="arms"')
    assert ended([RunDirectory(run)]) == 1


def test_a_run_of_an_older_version_tells_nothing_of_phases(make_run, capsys):
    page = report([make_run("a", queries=3)], console=Console(width=400)).read_text()
    assert "phase by phase" not in page and "evaluation before" not in capsys.readouterr().out


def test_what_was_redacted_is_told_by_phase_and_in_sum(make_run, capsys):
    run = make_run("a", queries=3)
    info = json.loads((run / "run.json").read_text())
    stream = CloudCalls(40, redaction=RedactionCounts({"name": 2, "phone": 30}, 1200, 7, 2, 3))
    final = CloudCalls(12, redaction=RedactionCounts({"phone": 4}, 800, 1, 0, 2))
    info["cloud"] = {"base": encode(CloudCalls(12)), "stream": encode(stream), "final": encode(final)}
    info["privacy"] = {**info["privacy"], "redaction": "order_record"}
    (run / "run.json").write_text(json.dumps(info))
    summary = summarise(run)
    assert summary["cloud"]["stream"]["redaction"] == {
        "values": {"name": 2, "phone": 30}, "example_values": 1200, "restored": 7, "unknown": 2, "refused": 3,
    }  # fmt: skip
    table = redaction_table(load_study([run]))
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["local", "Rounds", "order_record", "name 2, phone 30", "1,200", "7", "2", "3"],
        ["local", "Evaluation after", "order_record", "phone 4", "800", "1", "0", "2"],
    ]
    page = report([run], console=Console(width=400)).read_text()
    assert "What was redacted on the way to the cloud" in page and "name 2, phone 30" in page
    assert (
        "Redaction (order_record), local: 36 values taken out of dialogues, 2,000 out of the examples before them; "
        "8 replies restored, 2 unknown placeholders left out, 5 replies refused for another customer's value."
    ) in capsys.readouterr().out


def test_where_nothing_was_redacted_nothing_is_told_of_it(make_run, capsys):
    run = with_cloud(make_run("a", queries=3))
    assert "What was redacted" not in report([run], console=Console(width=400)).read_text()
    assert "Redaction (" not in capsys.readouterr().out


def test_calls_and_bytes_are_told_round_by_round(make_run, capsys):
    one, two = make_run("a", queries=3, shops=2), make_run("b", seed=1, queries=3, shops=2)
    for run, halved in ((one, 40), (two, 20)):
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for line in lines:
            line["teacher_requests"] = 40 if line["server_round"] == 1 else halved
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    # Two shops of 40 queries; 94,000 bytes each, of which what the evaluation sent is none.
    assert asked_by_round(load_run(one)) == [(number, 80, 80, 188_000) for number in (1, 2, 3, 4)]
    assert [calls for _, _, calls, _ in asked_by_round(load_run(two))] == [80, 40, 40, 40]
    table = rounds_table(load_study([one, two]))
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["local", "1", "80", "80", "188 kB"],
        *(["local", str(number), "80", "60", "188 kB"] for number in (2, 3, 4)),
    ]
    page = report([one, two], output=one.parent, console=Console(width=400)).read_text()
    shown = capsys.readouterr().out
    assert "Calls and bytes to the cloud, round by round" in page
    assert (
        "Asked of the cloud in a round, local: 80 calls, 188 kB up in the first; 60 calls, 188 kB up in the last."
    ) in shown


def test_where_nothing_was_asked_no_round_is_told(make_run, capsys):
    page = report([make_run("a", arm="none", queries=3)], console=Console(width=400)).read_text()
    assert "round by round" not in page and "in a round" not in capsys.readouterr().out
    run = make_run("b", queries=3)
    (run / "egress.jsonl").unlink()
    assert asked_by_round(load_run(run)) == []
