"""Fig. 3 of the paper as bars, the paper's figures above the study's."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.plots.svg import COLOURS, as_file, legend_below, render
from experiments.paper.published import COLUMNS, QUERIES, column_name

# A column's scores: one a query, then the mean of them, then that of the held-out queries.
Bars = Sequence[float | None]


def _panel(axes: Axes, title: str, labels: Sequence[str], bars: Sequence[tuple[str, Bars]]) -> None:
    width = 0.8 / len(bars)
    for index, (name, values) in enumerate(bars):
        heights = [0.0 if value is None else value for value in values]
        places = [position - 0.4 + width * (index + 0.5) for position in range(len(values))]
        axes.bar(places, heights, width * 0.92, color=COLOURS[index % len(COLOURS)], label=name)
    axes.set_title(title)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_ylabel("Final score")
    axes.set_ylim(0, 1)
    axes.grid(axis="x", visible=False)


def figure_3(names: Sequence[str], ours: Sequence[Bars], held_out: Sequence[Estimate | None]) -> str:
    """A file's worth of SVG: both panels, with whiskers on the held-out queries."""
    labels = [str(number) for number in range(1, len(QUERIES) + 1)]

    def draw() -> Figure:
        figure = Figure(figsize=(10, 6.4), layout="constrained")
        panels = figure.subplots(2, 1)
        paper = [
            (column_name(key), [*(scores := [query.scores[index] for query in QUERIES]), sum(scores) / len(scores)])
            for index, key in enumerate(COLUMNS)
        ]
        _panel(panels[0], "The paper: ChatGLM3-6B, inputs of Table VI", [*labels, "mean"], paper)
        bars = list(zip(names, ours, strict=True))
        _panel(panels[1], "Here: the same inputs, and held-out queries", [*labels, "mean", "held out"], bars)
        width = 0.8 / len(bars)
        for index, estimate in enumerate(held_out):
            if estimate is not None and estimate.low is not None and estimate.high is not None:
                place = len(labels) + 1 - 0.4 + width * (index + 0.5)
                panels[1].plot([place, place], [estimate.low, estimate.high], color="#010203", linewidth=1.2)
        legend_below(figure, panels)
        return figure

    return as_file(render("figure3", "Final scores under different fine-tuning methods, the paper's and here", draw))
