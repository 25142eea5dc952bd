"""Of a sweep: what arms reach over each setting that has numbers for values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.comparison.figures.marks import MARKERS, plain_numbers, whisker
from ecc_fed.reporting.counts import escalation
from ecc_fed.reporting.measures import BY_NAME
from ecc_fed.reporting.plots.svg import COLOURS, colour, legend_below, percent, render
from ecc_fed.reporting.study import Group, Study, settings_text

_MEASURES = ("final_score", "fact_accuracy", "platform_fact_accuracy", "other_shop_share", "chrf")
_ESCALATED = "Escalated, last round"
# A setting that an arm does not have.
_UNSET = "null"
# Values that span as much stand on a logarithmic axis.
_WIDE = 10
_MOST_TICKS = 8


@dataclass(frozen=True)
class Line:
    """An arm with all its other settings alike: its groups by the setting's value, or the only one without a value."""

    label: str
    arm: str
    points: dict[float, Group]
    unset: Group | None


def curves(study: Study) -> list[str | None]:
    """A figure for every setting that has several numbers in some arm, all else alike; seeds are pooled."""
    names = [name for name, _ in study.groups[0].variant] if study.groups else []
    return [_curves(name, found) for place, name in enumerate(names) if (found := lines(study.groups, place))]


def lines(groups: Sequence[Group], place: int) -> list[Line]:
    """The lines over the setting at `place` of every variant; none where nothing varies with it alone."""
    found: dict[tuple[str, str], Line] = {}
    for group in groups:
        rest = settings_text([s for at, s in enumerate(group.variant) if at != place and s[1] != _UNSET])
        label = f"{group.arm} ({rest})" if rest else group.arm
        text = group.variant[place][1]
        line = found.setdefault((group.arm, rest), Line(label, group.arm, {}, group if text == _UNSET else None))
        value = _number(text)
        if value is not None:
            line.points[value] = group
    if not any(len(line.points) > 1 for line in found.values()):
        return []
    return [line for line in found.values() if line.points or line.unset]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _figures(group: Group) -> dict[str, Estimate | None]:
    """Title -> what the group reached."""
    found = {BY_NAME[name].label: group.final[name] for name in _MEASURES}
    seed = derive_seed(0, "report", group.key, "escalation")
    return found | {_ESCALATED: escalation(group.runs, last=True, seed=seed)}


def _curves(name: str, drawn: Sequence[Line]) -> str | None:
    figures = {
        group.label: _figures(group)
        for line in drawn
        for group in (*line.points.values(), line.unset)
        if group is not None
    }
    titles = [title for title in _titles() if any(of[title] is not None for of in figures.values())]
    if not titles:
        return None
    values = sorted({value for line in drawn for value in line.points})
    shares = {measure.label for measure in BY_NAME.values() if measure.unit == "share"} | {_ESCALATED}

    def draw() -> Figure:
        across = min(3, len(titles))
        down = -(-len(titles) // across)
        figure = Figure(figsize=(10, 0.3 + 2.6 * down), layout="constrained")
        grid = [axes for line in figure.subplots(down, across, squeeze=False) for axes in line]
        for spare in grid[len(titles) :]:
            spare.set_visible(False)
        panels = grid[: len(titles)]
        for axes, title in zip(panels, titles, strict=True):
            for number, line in enumerate(drawn):
                _draw(axes, line, {label: of[title] for label, of in figures.items()}, *_look(drawn, number))
            axes.set_title(title, fontsize=10)
            axes.set_xlabel(name)
            _scale(axes, values)
            axes.margins(y=0.15)
            if title in shares:
                percent(axes.yaxis)
                axes.set_ylim(bottom=0)
        legend_below(figure, panels)
        return figure

    return render(f"settings-{name}", f"What arms reach over {name}, with 95% intervals", draw)


def _titles() -> list[str]:
    return [*[BY_NAME[name].label for name in _MEASURES], _ESCALATED]


def _look(drawn: Sequence[Line], number: int) -> tuple[str, str]:
    """Colour and marker: the arm's own colour, or one by one where several lines are of one arm."""
    alone = len({line.arm for line in drawn}) == len(drawn)
    shade = colour(drawn[number].arm) if alone else COLOURS[(3 + number) % len(COLOURS)]
    return shade, MARKERS[number % len(MARKERS)]


def _draw(axes: Axes, line: Line, figures: dict[str, Estimate | None], shade: str, marker: str) -> None:
    known = [(x, found) for x, group in sorted(line.points.items()) if (found := figures[group.label]) is not None]
    axes.plot([x for x, _ in known], [found.mean for _, found in known], color=shade, linewidth=1.6)
    for x, found in known:
        whisker(axes, x, found, shade, marker=marker, label=line.label)
    unset = figures[line.unset.label] if line.unset is not None else None
    if unset is not None:
        axes.axhline(unset.mean, color=shade, linewidth=1.4, linestyle="--", label=line.label)


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """Logarithmic where values span a factor of ten or more; a zero among them stands to the left of the smallest."""
    positive = [value for value in values if value > 0]
    if values[0] >= 0 and positive and positive[-1] >= _WIDE * positive[0]:
        if values[0] > 0:
            axes.set_xscale("log")
        else:
            axes.set_xscale("symlog", linthresh=positive[0])
        plain_numbers(axes.xaxis)
    if len(values) <= _MOST_TICKS:
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
    axes.margins(x=0.08)
