"""Facts that are a shop's own against facts that all shops share: who keeps the one and learns the other?"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.comparison.figures.marks import markers, shades
from ecc_fed.reporting.comparison.worlds import World
from ecc_fed.reporting.plots.svg import as_file, legend_below, percent, render
from ecc_fed.reporting.study import Group

_SHOP, _PLATFORM = "fact_accuracy", "platform_fact_accuracy"
# Whose corner others are asked to reach.
_AIM = "local"


def scopes_figure(worlds: Sequence[World]) -> str | None:
    """A panel for every world with facts of both scopes, an arm a point with its intervals; None without any."""
    shown = [world for world in worlds if any(_place(group) for group in world.groups)]
    if not shown:
        return None

    def draw() -> Figure:
        figure = Figure(figsize=(10, 4.6), layout="constrained")
        panels = list(figure.subplots(1, len(shown), squeeze=False, sharex=True, sharey=True)[0])
        for axes, world in zip(panels, shown, strict=True):
            _draw(axes, world)
            axes.set_title(world.label)
            axes.set_xlabel("Platform facts right")
            percent(axes.xaxis)
        panels[0].set_ylabel("Shop facts right")
        percent(panels[0].yaxis)
        legend_below(figure, panels)
        return figure

    return as_file(render("scopes", "Shop facts against platform facts by arm, with 95% intervals", draw))


def _place(group: Group) -> tuple[Estimate, Estimate] | None:
    platform, shop = group.final[_PLATFORM], group.final[_SHOP]
    return None if platform is None or shop is None else (platform, shop)


def _draw(axes: Axes, world: World) -> None:
    shade, mark = shades(world.groups), markers(world.groups)
    for group in world.groups:
        place = _place(group)
        if place is None:
            continue
        x, y = place
        look = shade[group.label]
        if x.low is not None and x.high is not None:
            axes.plot([x.low, x.high], [y.mean, y.mean], color=look, linewidth=0.9, alpha=0.45)
        if y.low is not None and y.high is not None:
            axes.plot([x.mean, x.mean], [y.low, y.high], color=look, linewidth=0.9, alpha=0.45)
        axes.plot([x.mean], [y.mean], mark[group.label], color=look, markersize=6.5, label=group.method_label)
        if group.arm == _AIM:
            axes.axhline(y.mean, color=look, linewidth=0.8, linestyle=":")
            axes.axvline(x.mean, color=look, linewidth=0.8, linestyle=":")
