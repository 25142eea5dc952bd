"""Late shops' curves from rows made by hand."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from ecc_fed.core.errors import ConfigError, UserError
from ecc_fed.core.rows import MetricRow
from experiments.late_shops.head_start import HeadStart, differences, figure, late_curves, page, rounds_to

ROW = MetricRow(
    1, 0, "a", "stream", 4, 0, 0, 0.5, 0, 0, None, 0, 0, 0, 0, (), 0, 0, 0.0, 0.0, 0.0, rounds_since_joining=0
)


def row(shop: str, server_round: int, since: int, score: float | None, served: int = 4, cycle: int = 0) -> MetricRow:
    return replace(
        ROW,
        shop_id=shop,
        server_round=server_round,
        rounds_since_joining=since,
        mean_score=score,
        served=served,
        cycle=cycle,
    )


def run(arm: str, seed: int, *rows: MetricRow) -> SimpleNamespace:
    return SimpleNamespace(arm=arm, seed=seed, metrics=rows)


EARLY = [row("early", at, at - 1, 0.9) for at in (1, 2, 3)]
LOCAL = run("local", 0, *EARLY, row("late", 2, 0, 0.2), row("late", 3, 1, 0.6))
AGGREGATED = run(
    "aggregated",
    0,
    *EARLY,
    row("late", 2, 0, 0.5, served=3),
    row("late", 2, 0, 0.9, served=1, cycle=1),
    row("late", 3, 1, None),
)


def test_late_shops_alone_have_a_curve_and_cycles_count_by_what_they_served():
    curves = late_curves([LOCAL, AGGREGATED])
    assert curves["local"] == {(0, "late"): {0: 0.2, 1: 0.6}}
    assert curves["aggregated"][0, "late"] == pytest.approx({0: 0.6})
    warm = replace(ROW, split="warm_start", server_round=0)
    assert late_curves([run("local", 0, warm, *EARLY)]) == {}


def test_rounds_to_a_score():
    assert [rounds_to({0: 0.2, 1: 0.6, 2: 0.4}, score) for score in (0.1, 0.6, 0.61)] == [0, 1, None]


def test_the_page_has_every_arm_and_who_never_reached_the_score():
    text = page(late_curves([LOCAL, AGGREGATED, run("local", 1, row("late", 2, 0, 0.4), row("late", 3, 1, 0.4))]), 0.6)
    assert "| `local` | 2 | 0.300" in text
    assert "| `local` | 1 of 2 | 1.0 |" in text
    assert "| `aggregated` | 1 of 1 | 0.0 |" in text


def test_arms_are_paired_by_shop_and_seed():
    others = run("local", 1, row("late", 2, 0, 0.4), row("late", 3, 1, 0.1))
    curves = late_curves([LOCAL, others, AGGREGATED])
    found = differences(curves["aggregated"], curves["local"])
    assert {at: one.mean for at, one in found.items()} == pytest.approx({0: 0.4}), "0.6 of seed 0 against its own 0.2"
    text = page(curves, 0.6)
    assert "| `aggregated` | +0.400 | – |" in text and text.count("| `local` |") == 2
    assert figure(curves).startswith("<svg")


def test_runs_without_late_shops_and_scores_out_of_range_are_refused(tmp_path):
    with pytest.raises(UserError, match="holds no run with late shops"):
        HeadStart().write(tmp_path, tmp_path)
    with pytest.raises(ConfigError, match=r"study\.view\.score=2"):
        HeadStart(2)
