"""Rounds and days by hand."""

from dataclasses import replace

import pytest

from ecc_fed.core.rows import MetricRow, ServedFacts, read_rows, write_rows
from ecc_fed.reporting.comparison.figures.over_time import drift, recovery
from ecc_fed.reporting.comparison.findings import find
from ecc_fed.reporting.comparison.recovery import DAYS, days_label
from ecc_fed.reporting.study import load_study


def test_facts_by_the_days_since_their_change(known_run, tmp_path):
    days = [0.0, 0.5, 1.0, 3.0, 3.9, 4.0, 7.0, 30.0, None, None]
    known_run("none", 0, {"a": [0] * 10}, days=days)
    known_run("local", 0, {"a": [0, 1, 1, 1, 0, 0, 1, 1, 1, 1]}, days=days)
    findings = find(load_study([tmp_path]))
    found = {days_label(one.days): (one.right.mean, one.right.n) for one in findings.drift if one.group.arm == "local"}
    assert found == {
        "the same day": (0.5, 2), "1 day": (1.0, 1), "2 to 3 days": (0.5, 2), "4 to 6 days": (0.0, 1),
        "7 days or more": (1.0, 2), "never changed": (1.0, 2),
    }  # fmt: skip
    assert [one.taught for one in findings.drift] == [1.0] * 12
    assert drift(findings.drift) is not None


def test_ages_leave_no_day_out_and_count_none_twice():
    ends = [(low, high) for low, high in DAYS[:-1]]
    assert [low for low, _ in ends[1:]] == [high for _, high in ends[:-1]]
    assert (ends[0][0], ends[-1][1], DAYS[-1]) == (0, None, None)


def test_where_no_fact_changed_there_is_nothing_to_tell(known_run, tmp_path):
    known_run("none", 0, {"a": [0, 1]})
    known_run("local", 0, {"a": [1, 1]})
    findings = find(load_study([tmp_path]))
    assert findings.drift == []
    assert drift(findings.drift) is None


def with_rounds(root, change):
    write_rows(root / "metrics.jsonl", [change(row) for row in read_rows(root / "metrics.jsonl", MetricRow)])


def test_content_customers_and_labels_round_by_round(known_run, tmp_path):
    known_run("none", 0, {"a": [0], "b": [0]}, rounds=0)
    root = known_run("local", 0, {"a": [1], "b": [1]}, rounds=2)
    with_rounds(root, lambda row: replace(row, unhappy=20 if row.server_round == 1 else 4, pseudo_labels=10))
    findings = find(load_study([tmp_path]))
    assert [(one.group.arm, one.server_round) for one in findings.rounds] == [("local", 1), ("local", 2)]
    assert [one.content.mean for one in findings.rounds] == pytest.approx([0.5, 0.9])
    assert [one.labels.mean for one in findings.rounds] == pytest.approx([0.25, 0.25])
    assert all(one.content.low < one.content.mean < one.content.high for one in findings.rounds)
    assert recovery(findings.rounds) is not None


def test_facts_right_round_by_round_and_after_a_change(known_run, tmp_path):
    known_run("none", 0, {"a": [0]}, rounds=0)
    root = known_run("local", 0, {"a": [1], "b": [1]}, rounds=2)
    counts = {1: ServedFacts(20, 5, 4, 0), 2: ServedFacts(30, 24, 8, 4)}
    with_rounds(root, lambda row: replace(row, facts=counts[row.server_round]))
    found = find(load_study([tmp_path])).rounds
    assert [(one.right.mean, one.right.n) for one in found] == [(0.25, 40), (0.8, 60)]
    assert [(one.changed.mean, one.changed.n) for one in found] == [(0.0, 8), (0.5, 16)]
    # What one shop does not tell takes no part.
    with_rounds(root, lambda row: replace(row, facts=None if row.shop_id == "a" else row.facts))
    assert [one.right.n for one in find(load_study([tmp_path])).rounds] == [20, 30]


def test_customers_of_whom_nothing_is_known_are_not_called_content(known_run, tmp_path):
    for arm in ("local", "aggregated"):
        with_rounds(known_run(arm, 0, {"a": [1]}, rounds=2), lambda row: replace(row, unhappy=0))
    findings = find(load_study([tmp_path]))
    assert [one.content for one in findings.rounds] == [None] * 4
    assert "Content" not in recovery(findings.rounds)
