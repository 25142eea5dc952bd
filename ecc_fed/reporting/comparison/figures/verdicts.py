"""Every shop's difference to the baseline, arm by arm."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecc_fed.reporting.comparison.differences import EFFECTS, Verdict
from ecc_fed.reporting.comparison.figures.marks import EFFECT_COLOURS, in_unit, panel_title, panels, whisker
from ecc_fed.reporting.plots.svg import legend_below, render

_MAX_LABELLED = 30


def forest(verdicts: Sequence[Verdict], name: str, against: str) -> str | None:
    """A panel an arm: shops from the one that lost most to the one that won most; below them all together.

    Args:
        verdicts: those of one world and outcome.
        name: the figure's, unlike any other's of the page.
        against: what the differences are to, such as "difference to local".
    """
    shown = [verdict for verdict in verdicts if verdict.shops]
    if not shown:
        return None
    world, measure = shown[0].world, shown[0].measure
    most = max(len(verdict.shops) for verdict in shown)
    title = f"{measure.label}: {against}, shop by shop"
    title += f" ({world.label})" if world.label else ""

    def draw() -> Figure:
        columns = 3 if most <= _MAX_LABELLED else 4
        figure, found = panels(len(shown), columns, 1.1 + 0.17 * min(most, _MAX_LABELLED))
        for axes, verdict in zip(found, shown, strict=True):
            _draw(axes, verdict)
            panel_title(axes, verdict.group.method_label)
            axes.set_ylim(most + 0.6, -0.8)
            axes.set_yticks([])
            axes.grid(axis="y", visible=False)
            in_unit(axes.xaxis, measure)
        for effect in EFFECTS:
            found[0].plot([], [], "o", color=EFFECT_COLOURS[effect], label=effect)
        found[0].plot([], [], "D", color="#0072b2", label="all shops together")
        figure.suptitle(title, fontsize=11, fontweight="bold", x=0.01, ha="left")
        legend_below(figure, found)
        return figure

    return render(name, title, draw)


def _draw(axes: Axes, verdict: Verdict) -> None:
    axes.axvline(0, color="#8a8f98", linewidth=1)
    ordered = sorted(verdict.shops, key=lambda shop: shop.estimate.mean)
    for height, shop in enumerate(ordered):
        whisker(axes, height, shop.estimate, EFFECT_COLOURS[shop.effect], upright=False)
        if len(ordered) <= _MAX_LABELLED:
            text = verdict.world.shop_label(shop.shop)
            place = axes.get_yaxis_transform()
            axes.text(-0.02, height, text, transform=place, ha="right", va="center", fontsize=7.5, alpha=0.7)
    if verdict.overall is not None:
        whisker(axes, len(ordered), verdict.overall, "#0072b2", marker="D", upright=False)
