"""What the figures share: colours that tell groups apart, points with whiskers, axes in a measure's unit."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.comparison.differences import Effect
from ecc_fed.reporting.measures import Measure
from ecc_fed.reporting.plots.svg import COLOURS, colour, percent
from ecc_fed.reporting.study import Group

EFFECT_COLOURS: Mapping[Effect, str] = {"helped": "#009e73", "hurt": "#d55e00", "undecided": "#8a8f98"}
# Characters of a title over a third of a figure's width.
_TITLE_WIDTH = 34
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def shades(groups: Sequence[Group]) -> dict[str, str]:
    """Group label -> colour: the arm's own, or one by one where several groups are of one arm."""
    if len({group.arm for group in groups}) == len(groups):
        return {group.label: colour(group.arm) for group in groups}
    return {group.label: COLOURS[(3 + number) % len(COLOURS)] for number, group in enumerate(groups)}


def markers(groups: Sequence[Group]) -> dict[str, str]:
    """Group label -> marker; with their colours, of another number, they tell 77 groups apart."""
    return {group.label: MARKERS[number % len(MARKERS)] for number, group in enumerate(groups)}


def in_unit(axis: Axis, measure: Measure) -> None:
    """Shares as per cent; whatever else as it is."""
    if measure.unit == "share":
        percent(axis)


def plain_numbers(axis: Axis) -> None:
    """For a logarithmic axis: its own labels are formulas, which the page's plots do not set. Small ticks have none."""
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def whisker(
    axes: Axes, x: float, estimate: Estimate, shade: str, *, marker: str = "o", label: str = "", upright: bool = True
) -> None:
    """A figure as a point, with its interval upright through it, or lying (then `x` is its height)."""
    low, high = estimate.low, estimate.high
    if low is not None and high is not None:
        ends = [low, high]
        xs, ys = ([x, x], ends) if upright else (ends, [x, x])
        axes.plot(xs, ys, color=shade, linewidth=1.4, alpha=0.6)
    place = ([x], [estimate.mean]) if upright else ([estimate.mean], [x])
    axes.plot(*place, marker, color=shade, markersize=5.5, label=label or None)


def panel_title(axes: Axes, *lines: str) -> None:
    """The title of one of three panels side by side, in as many lines as its width asks for."""
    axes.set_title("\n".join(part for line in lines for part in textwrap.wrap(line, _TITLE_WIDTH)), fontsize=9)


def panels(number: int, columns: int, height: float, *, width: float = 10.0) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels with common axes, `height` inches a line; what is left over of the grid is hidden."""
    columns = min(columns, number)
    lines = -(-number // columns)
    figure = Figure(figsize=(width, lines * height), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    flat = [axes for line in grid for axes in line]
    for place, spare in enumerate(flat[number:], start=number):
        spare.set_visible(False)
        if place >= columns:
            flat[place - columns].tick_params(labelbottom=True)  # nothing below it has the numbers
    return figure, flat[:number]
