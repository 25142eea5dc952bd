"""Quality against each cost, with the front of those whom nobody beats."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ecc_fed.reporting.comparison.figures.marks import in_unit, markers, shades, whisker
from ecc_fed.reporting.comparison.pareto import COSTS, Cost, Place
from ecc_fed.reporting.comparison.worlds import World
from ecc_fed.reporting.measures import Measure
from ecc_fed.reporting.plots.svg import legend_below, render

# Costs that differ by more than this are shown on a logarithmic axis.
_WIDE = 200


def fronts(world: World, measure: Measure, places: Sequence[Place], number: int) -> str | None:
    """A panel a cost; None where nobody's costs are known."""
    costs = [cost for cost in COSTS if len({place.costs[cost.name] for place in places} - {None}) > 1]
    if not costs:
        return None
    shade, mark = shades([place.group for place in places]), markers([place.group for place in places])
    title = f"{measure.label} against costs{f' ({world.label})' if world.label else ''}"

    def draw() -> Figure:
        figure = Figure(figsize=(10, 3.3), layout="constrained")
        panels = list(figure.subplots(1, len(costs), squeeze=False, sharey=True)[0])
        for axes, cost in zip(panels, costs, strict=True):
            _draw_front(axes, cost, places)
            for place in places:
                value = place.costs[cost.name]
                if value is not None:
                    label, shown = place.group.label, place.group.method_label
                    whisker(axes, value, place.quality, shade[label], marker=mark[label], label=shown)
            _scale(axes, [value for place in places if (value := place.costs[cost.name]) is not None], cost)
            axes.set_xlabel(cost.label)
        in_unit(panels[0].yaxis, measure)
        figure.suptitle(title, fontsize=11, fontweight="bold", x=0.01, ha="left")
        legend_below(figure, panels)
        return figure

    return render(f"pareto-{number}-{measure.name}", title, draw)


def _draw_front(axes: Axes, cost: Cost, places: Sequence[Place]) -> None:
    """Stairs from one unbeaten arm to the next."""
    on_it = [
        (value, place.quality.mean)
        for place in places
        if cost.name in place.front and (value := place.costs[cost.name]) is not None
    ]
    on_it.sort()
    costs, qualities = [value for value, _ in on_it], [quality for _, quality in on_it]
    axes.step(costs, qualities, where="post", color="#8a8f98", linewidth=1.2, linestyle="--")


def _scale(axes: Axes, values: Sequence[float], cost: Cost) -> None:
    above_zero = [value for value in values if value > 0]
    if above_zero and max(above_zero) > _WIDE * min(above_zero):
        axes.set_xscale("symlog", linthresh=min(above_zero))
        decades = range(math.ceil(math.log10(min(above_zero))), math.floor(math.log10(max(above_zero))) + 1)
        # All labels of many decades would run into one another.
        axes.set_xticks([10.0**decade for decade in decades[:: 1 + len(decades) // 4]])
        axes.minorticks_off()
    else:
        axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(lambda value, _: cost.show(value))
    axes.margins(x=0.12)
