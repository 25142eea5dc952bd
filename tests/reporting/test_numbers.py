"""The numbers that trackers get are those of the run's own files, by the same names."""

from dataclasses import replace

import pytest

from ecc_fed.core.rows import MetricRow, read_rows, write_rows
from ecc_fed.reporting.numbers import numbers_of
from ecc_fed.reporting.run import load_run
from ecc_fed.reporting.summary import summarise_run


def numbers(root):
    run = load_run(root)
    return run, summarise_run(run), {(n.name, n.server_round): n.value for n in numbers_of(run, summarise_run(run))}


def leaves(value, name=""):
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, f"{name}.{key}".lstrip("."))]
    return [(name, value)] if isinstance(value, int | float) and not isinstance(value, bool) else []


def test_every_number_of_the_summarys_parts_is_there_by_its_path_and_nothing_else(make_run):
    _, summary, found = numbers(make_run("a", "aggregated", queries=4))
    parts = ("evaluation", "teacher", "traffic", "runtime", "cloud", "judge_fact_correlation", "judge_worth")
    expected = {
        (name, 4): value
        for name, value in leaves({part: summary[part] for part in parts} | {"kneser_ney_perplexity": {"mean": 19.5}})
        if ".per_shop." not in name
    }
    told = {
        key: value for key, value in found.items() if key[0].split(".")[0] not in ("metrics", "aggregation", "serving")
    }
    assert told == expected
    for name in ("evaluation.final.final_score.mean", "teacher.requests", "runtime.wall_seconds"):
        assert (name, 4) in told


def test_rounds_are_told_as_the_rows_have_them(make_run):
    root = make_run("a", "aggregated", queries=2)
    rows = read_rows(root / "metrics.jsonl", MetricRow)
    # Unlike rows: a plain mean is not the weighted one.
    rows = [
        replace(row, steps=10 * place, served=place + 1, train_loss=1.0 + place**2, mean_score=0.5 / (1 + place))
        for place, row in enumerate(rows)
    ]
    write_rows(root / "metrics.jsonl", [*rows, replace(rows[0], server_round=0, split="warm_start", steps=7)])
    run, summary, found = numbers(root)
    second = [row for row in rows if row.server_round == 2]
    assert found["metrics.steps", 2] == sum(row.steps for row in second)
    assert found["metrics.cost_usd", 2] == pytest.approx(0.08)
    weighted = sum(row.train_loss * row.steps for row in second) / sum(row.steps for row in second)
    assert found["metrics.train_loss", 2] == pytest.approx(weighted)
    weighted = sum(row.mean_score * row.served for row in second) / sum(row.served for row in second)
    assert found["metrics.mean_score", 2] == pytest.approx(weighted)
    assert found["metrics.steps", 0] == 7
    assert [found["serving.mean_score", r] for r in range(1, 5)] == summary["serving"]["mean_score"]
    assert [found["aggregation.relative_error", r] for r in range(1, 5)] == [
        row.relative_error for row in run.info.aggregation
    ]
    assert {r for name, r in found if name == "metrics.served"} == {0, 1, 2, 3, 4}


def test_what_stands_under_a_word_from_outside_is_left_out(make_run):
    _, _, found = numbers(make_run("a", queries=2, shop_names=["accepted", "秘密", "a b"]))
    assert not [name for name, _ in found if "per_shop" in name or "秘密" in name]
    run, summary, _ = numbers(make_run("b", queries=2))
    evil = {**summary, "teacher": {"Told by a customer": 1.0, "good": 2.0, "errors": {"plain": 3}, "nan": float("nan")}}
    names = {number.name for number in numbers_of(run, evil) if number.name.startswith("teacher")}
    assert names == {"teacher.good"}
