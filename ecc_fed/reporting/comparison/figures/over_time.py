"""What happens round by round, and to facts with the days since they changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.comparison.figures.marks import markers, plain_numbers, shades, whisker
from ecc_fed.reporting.comparison.methods import EXACT, MethodFigures
from ecc_fed.reporting.comparison.recovery import DAYS, DriftFigures, RoundFigures, days_label
from ecc_fed.reporting.plots.svg import legend_below, percent, render, round_axis
from ecc_fed.reporting.study import Group

# Where an error of nothing is drawn on a logarithmic axis.
_FLOOR = 1e-9


def recovery(figures: Sequence[RoundFigures]) -> str | None:
    """Facts right, content customers and pseudo-labels by round; None where no round was served."""
    wanted: list[tuple[str, Callable[[RoundFigures], Estimate | None]]] = [
        ("Facts right", lambda one: one.right),
        ("Facts right, of those that had changed", lambda one: one.changed),
        ("Content customers", lambda one: one.content),
        ("Pseudo-labels a query", lambda one: one.labels),
    ]
    wanted = [(title, of) for title, of in wanted if any(of(one) is not None for one in figures)]
    if not wanted:
        return None
    groups = _groups(figures)
    shade, mark = shades(groups), markers(groups)

    def draw() -> Figure:
        lines = -(-len(wanted) // 2)
        figure = Figure(figsize=(10, 0.4 + 2.7 * lines), layout="constrained")
        grid = figure.subplots(lines, 2, squeeze=False)
        panels = [axes for line in grid for axes in line]
        for spare in panels[len(wanted) :]:
            spare.set_visible(False)
        for axes, (title, of) in zip(panels, wanted, strict=False):
            for number, group in enumerate(groups):
                known = [(one.server_round, found) for one in figures if one.group is group and (found := of(one))]
                _curve(axes, _shifted(known, number, len(groups)), shade[group.label], mark[group.label], group.label)
            axes.set_title(title)
            round_axis(axes)
            axes.margins(y=0.15)
            percent(axes.yaxis)
            axes.set_ylim(bottom=0)
        legend_below(figure, panels)
        return figure

    return render("recovery", "Facts right, content customers and pseudo-labels over server rounds", draw)


def drift(figures: Sequence[DriftFigures]) -> str | None:
    """Facts right, and another value in their place, by days since the change."""
    if not figures:
        return None
    groups = _groups(figures)
    shade, mark = shades(groups), markers(groups)
    ages = [days for days in DAYS if any(one.days == days for one in figures)]
    wanted: list[tuple[str, Callable[[DriftFigures], Estimate]]] = [
        ("Facts right", lambda one: one.right),
        ("Another value stated", lambda one: one.outdated),
    ]

    def draw() -> Figure:
        figure = Figure(figsize=(10, 3.6), layout="constrained")
        panels = list(figure.subplots(1, 2))
        for axes, (title, of) in zip(panels, wanted, strict=True):
            for number, group in enumerate(groups):
                known = [(ages.index(one.days), of(one)) for one in figures if one.group is group]
                changed = [(age, found) for age, found in known if ages[age] is not None]
                places = _shifted(known, number, len(groups))
                _curve(axes, places[: len(changed)], shade[group.label], mark[group.label], group.label)
                _curve(axes, places[len(changed) :], shade[group.label], mark[group.label], group.label)
            axes.set_title(title)
            axes.set_xticks(range(len(ages)), [days_label(days) for days in ages], rotation=20, ha="right")
            axes.set_ylim(-0.02, 1.02)
            percent(axes.yaxis)
        legend_below(figure, panels)
        return figure

    return render("drift", "Facts right and another value stated, by days since the fact changed", draw)


def method_errors(figures: Sequence[MethodFigures]) -> str | None:
    """Relative error of every way to aggregate, by round, on a logarithmic axis; None for fewer than two of them."""
    shown = [one for one in figures if one.errors]
    if len(shown) < 2:
        return None
    groups = [one.group for one in shown]
    shade, mark = shades(groups), markers(groups)

    def draw() -> Figure:
        figure = Figure(figsize=(10, 3.6), layout="constrained")
        axes = figure.subplots()
        for one in shown:
            label = one.group.label
            heights = [max(error, _FLOOR) for error in one.errors.values()]
            axes.plot(list(one.errors), heights, color=shade[label], marker=mark[label], markersize=5, label=label)
        axes.axhline(EXACT, color="#8a8f98", linewidth=1, linestyle=":")
        axes.set_yscale("log")
        plain_numbers(axes.yaxis)
        axes.set_title("Relative error to the mean of the shops' s B A")
        round_axis(axes)
        legend_below(figure, [axes])
        return figure

    return render("methods", "Relative error of every way to aggregate, over server rounds", draw)


def _groups(figures: Sequence[RoundFigures] | Sequence[DriftFigures]) -> list[Group]:
    return list({one.group.label: one.group for one in figures}.values())


def _shifted(points: Sequence[tuple[int, Estimate]], number: int, of: int) -> list[tuple[float, Estimate]]:
    """Points of several groups beside one another, so that their whiskers do not hide each other."""
    return [(x + 0.3 * ((number + 0.5) / of - 0.5), found) for x, found in points]


def _curve(axes: Axes, points: Sequence[tuple[float, Estimate]], shade: str, mark: str, label: str) -> None:
    axes.plot([x for x, _ in points], [found.mean for _, found in points], color=shade, linewidth=1.6)
    for x, found in points:
        whisker(axes, x, found, shade, marker=mark, label=label)
