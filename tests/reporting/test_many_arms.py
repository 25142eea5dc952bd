"""Figures of two arms and of thirty: their panels keep their height, and nothing of them collapses."""

import warnings
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure

from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.comparison.figures.matrix import heat_figure
from ecc_fed.reporting.comparison.figures.over_time import drift, method_errors, recovery
from ecc_fed.reporting.comparison.figures.pareto import fronts
from ecc_fed.reporting.comparison.methods import MethodFigures
from ecc_fed.reporting.comparison.pareto import COSTS, Place
from ecc_fed.reporting.comparison.recovery import DAYS, DriftFigures, RoundFigures
from ecc_fed.reporting.measures import BY_NAME
from ecc_fed.reporting.plots import arms, rounds
from ecc_fed.reporting.study import Study

ROUNDS = range(1, 5)


def estimate(share):
    return Estimate(share, share - 0.05, share + 0.05, 60, 4, 40)


def groups(number):
    """Arms named as a screening of ways to aggregate names them."""
    return [
        SimpleNamespace(
            arm="aggregated",
            label=f"aggregated (platform_share=0.5, strategy=Method{n:02d}, shared_rank=null, pairs_per_shop=200, "
            "prox_mu=0, trimmed_share=null)",
            method_label=f"aggregated (strategy=Method{n:02d}, shared_rank=4, prox_mu=0, trimmed_share=null)",
            variant_label=f"{n}",
            base={name: estimate(0.2) for name in BY_NAME},
            final={name: estimate(0.2 + n / 50) for name in BY_NAME},
            runs=(n,),
        )
        for n in range(number)
    ]


def pareto(of):
    costs = [{cost.name: 10.0 * (1 + n) for cost in COSTS} for n in range(len(of))]
    placed = [Place(group, estimate(0.5), cost, (), False) for group, cost in zip(of, costs, strict=True)]
    fronts(SimpleNamespace(label="platform_share=0.5"), BY_NAME["fact_accuracy"], placed, 0)


def by_round(of):
    recovery([RoundFigures(group, each, *[estimate(0.5)] * 4) for group in of for each in ROUNDS])


def by_days(of):
    drift([DriftFigures(group, days, estimate(0.5), estimate(0.2), 0.5) for group in of for days in DAYS])


def errors(of):
    found = {each: 0.1 * each for each in ROUNDS}
    method_errors([MethodFigures(group, "FedAvg", found, 4.0, (4, 4), 1.0, 1.0, 1.0) for group in of])


def matrix(of):
    columns = [group.method_label for group in of]
    shops = ["shop_0000", "shop_0001", "shop_0002"]
    heat_figure("m", "title", [[0.5] * len(columns)] * len(shops), shops, columns, BY_NAME["fact_accuracy"])


def side_by_side(of):
    arms.side_by_side(Study(tuple(of), ()))


def traffic(of):
    arms.traffic_bars(Study(tuple(of), ()))


def curves(of):
    rounds.curves(Study(tuple(of), ()))


def aggregation(of):
    rounds.aggregation_curves(Study(tuple(of), ()))


@pytest.fixture
def heights(monkeypatch):
    """Inches of the lowest panel of every figure that is drawn."""
    found, save = [], Figure.savefig

    def saved(figure, *given, **options):
        save(figure, *given, **options)
        panels = [axes for axes in figure.axes if axes.get_visible()]
        found.append(min(axes.get_position().height for axes in panels) * figure.get_figheight())

    monkeypatch.setattr(Figure, "savefig", saved)
    monkeypatch.setattr(arms, "flows", lambda group: {f"kind {n}": 1000.0 for n in range(6)})
    monkeypatch.setattr(rounds, "_curve", lambda runs, key: (list(ROUNDS), [0.1 * each for each in ROUNDS]))
    monkeypatch.setattr(rounds, "_aggregation", lambda group: {each: 0.1 * each for each in ROUNDS})
    return found


# What grows with the arms, line by line, and what has them in its legend or along its width.
@pytest.mark.parametrize(
    ("draw", "grows"),
    [
        (pareto, False),
        (by_round, False),
        (by_days, False),
        (errors, False),
        (matrix, False),
        (curves, False),
        (aggregation, False),
        (side_by_side, True),
        (traffic, True),
    ],
)
def test_thirty_arms_leave_the_panels_their_height(heights, draw, grows):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for number in (2, 30):
            draw(groups(number))
    few, many = heights
    # A line of text is a seventh of an inch high.
    assert many > (30 * 0.3 if grows else 0.85 * few)
