"""Differences to the copy as points with whiskers, a line a part."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.plots.svg import COLOURS, as_file, legend_below, render


def differences_plot(title: str, arms: Sequence[str], lines: Sequence[tuple[str, Sequence[Estimate | None]]]) -> str:
    """A file's worth of SVG.

    Args:
        title: of the plot.
        arms: that are compared, one colour each.
        lines: a label, and every arm's difference.
    """

    def draw() -> Figure:
        figure = Figure(figsize=(9, 0.34 * len(lines) + 1.6), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color="#8a8f98", linewidth=1)
        for index, arm in enumerate(arms):
            offset = 0.28 * (index - (len(arms) - 1) / 2)
            for place, (_, estimates) in enumerate(lines):
                estimate = estimates[index]
                if estimate is None:
                    continue
                shade = COLOURS[1 + index]
                label = arm if place == 0 else None
                axes.plot([100 * estimate.mean], [place + offset], "o", markersize=5, color=shade, label=label)
                if estimate.low is not None and estimate.high is not None:
                    ends = [100 * estimate.low, 100 * estimate.high]
                    axes.plot(ends, [place + offset] * 2, color=shade, linewidth=1.6)
        axes.set_yticks(range(len(lines)), [label for label, _ in lines])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("Percentage points, with 95% intervals")
        # Over the whole figure: beside long labels the axes are too narrow for it.
        figure.suptitle(title, fontsize="large")
        legend_below(figure, [axes])
        return figure

    return as_file(render("where", title, draw))
