"""Differences against a trait of the shops."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from ecc_fed.reporting.comparison.figures.marks import (
    EFFECT_COLOURS,
    in_unit,
    panel_title,
    panels,
    plain_numbers,
    whisker,
)
from ecc_fed.reporting.comparison.traits import Association
from ecc_fed.reporting.plots.svg import render


def scatter(found: Sequence[Association], number: int) -> str | None:
    """One trait and outcome: a panel an arm, a point a shop with its interval; None where the trait never varies."""
    shown = [one for one in found if len({point.value for point in one.points}) > 1]
    if not shown:
        return None
    trait, measure = shown[0].trait, shown[0].measure
    title = f"{measure.label}: difference to {shown[0].baseline} by {trait.label[0].lower()}{trait.label[1:]}"

    def draw() -> Figure:
        figure, drawn = panels(len(shown), 3, 2.5)
        for axes, one in zip(drawn, shown, strict=True):
            axes.axhline(0, color="#8a8f98", linewidth=1)
            for point in one.points:
                whisker(axes, point.value, point.difference.estimate, EFFECT_COLOURS[point.difference.effect])
            rho = [] if one.correlation is None else [f"rank correlation {one.correlation.mean:.2f}"]
            panel_title(axes, one.label, *rho)
            in_unit(axes.yaxis, measure)
            axes.margins(x=0.08)
        values = sorted({point.value for one in shown for point in one.points})
        few = len(values) <= 6
        # Within a power of ten there may be no tick with a number.
        if trait.logarithmic and (few or values[-1] >= 10 * values[0]):
            drawn[0].set_xscale("log")
            plain_numbers(drawn[0].xaxis)
            if few:
                drawn[0].set_xticks(values, [f"{value:g}" for value in values])
                drawn[0].minorticks_off()
        figure.supxlabel(trait.label, fontsize=10)
        figure.suptitle(title, fontsize=11, fontweight="bold", x=0.01, ha="left")
        return figure

    return render(f"traits-{number}-{trait.name}", title, draw)
