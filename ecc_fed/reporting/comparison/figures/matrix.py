"""Shop by arm as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecc_fed.core.statistics import Values
from ecc_fed.reporting.comparison.matrix import Matrix
from ecc_fed.reporting.formatting import value_text
from ecc_fed.reporting.measures import Measure
from ecc_fed.reporting.plots.svg import render

# A picture of more rows says less than the CSV.
MAX_SHOPS = 60
_MAX_SLANTED = 12
_COLOURS = "cividis"


def heat_map(matrix: Matrix, measure: Measure, number: int) -> str | None:
    """One outcome of every arm on every shop's own test; None without any figure, or with too many shops.

    Shops stand from the one whom its arms serve worst to the one whom they serve best.
    """
    shops, groups = list(matrix.world.queries), list(matrix.world.groups)
    cells = [[matrix.cell(shop, group.label, measure) for group in groups] for shop in shops]
    values = np.array([[np.nan if cell is None else cell.mean for cell in line] for line in cells], dtype=np.float64)
    if not np.isfinite(values).any() or len(shops) > MAX_SHOPS:
        return None
    means = [float(np.nanmean(line)) if np.isfinite(line).any() else np.inf for line in values]
    order = np.argsort(means, kind="stable")
    labels = [matrix.world.shop_label(shops[place]) for place in order]
    columns = [group.method_label for group in groups]
    world = matrix.world.label
    title = f"{measure.label}: every arm on every shop's own test{f' ({world})' if world else ''}"
    return heat_figure(f"matrix-{number}-{measure.name}", title, values[order], labels, columns, measure)


def heat_figure(
    name: str, title: str, values: Values, rows: Sequence[str], columns: Sequence[str], measure: Measure
) -> str:
    """A heat map with its figures in it. `values`: (rows, columns), NaN where there is none."""

    # Names of narrow columns stand upright: a slanted one would lie over those of its neighbours.
    upright = len(columns) > _MAX_SLANTED
    inches = max(map(len, columns)) * (0.075 if upright else 0.03)
    slant: dict[str, Any] = {"rotation": 90} if upright else {"rotation": 20, "ha": "right"}

    def draw() -> Figure:
        figure = Figure(figsize=(10, 1.6 + 0.3 * len(rows) + inches), layout="constrained")
        axes = figure.subplots()
        # One scale for all pictures of a measure that has bounds.
        low, high = (0.0, 1.0) if measure.unit in ("share", "score") else (np.nanmin(values), np.nanmax(values))
        colours = matplotlib.colormaps[_COLOURS]
        axes.pcolormesh(np.ma.masked_invalid(values), cmap=colours, vmin=low, vmax=high, linewidth=0)
        _write(axes, values, measure, low, high)
        axes.set_xticks(np.arange(len(columns)) + 0.5, columns, **slant)
        axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.set_title(title)
        return figure

    return render(name, title, draw)


def _write(axes: Axes, values: Values, measure: Measure, low: float, high: float) -> None:
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            bright = high > low and (value - low) / (high - low) > 0.55
            shade = "#111111" if bright else "#ffffff"
            text = f"{100 * value:.0f}" if measure.unit == "share" else value_text(value, measure.unit).lstrip("0")
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=shade, fontsize=8.5)
