"""Arms under one another: what they reach, and what they send."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.formatting import bytes_text
from ecc_fed.reporting.measures import BY_NAME
from ecc_fed.reporting.plots.svg import COLOURS, colour, legend_below, line_inches, name_lines, percent, render
from ecc_fed.reporting.study import Study
from ecc_fed.reporting.tables.rows import flows, is_evaluation

_HATCHES = ("", "///", "...", "xxx")
_SIDE_BY_SIDE = (
    "final_score", "similarity", "relevance", "fact_accuracy", "unseen_fact_accuracy", "platform_fact_accuracy", "chrf",
    "verbatim_share",
)  # fmt: skip


def side_by_side(study: Study) -> str | None:
    """Arms under one another, before (hollow) and after (full), whiskers for the 95% intervals."""
    present = [
        BY_NAME[name]
        for name in _SIDE_BY_SIDE
        if any(group.final[name] is not None or group.base[name] is not None for group in study.groups)
    ]
    if not present:
        return None
    groups = study.groups
    names = [group.label for group in groups]

    def draw() -> Figure:
        # Long names leave less room for the panels.
        columns = min(4 if max(map(len, names)) <= 20 else 3, len(present))
        lines = -(-len(present) // columns)
        layout = ConstrainedLayoutEngine(hspace=0.08)
        figure = Figure(figsize=(10, lines * (0.9 + line_inches(names) * len(groups))), layout=layout)
        panels = figure.subplots(lines, columns, squeeze=False, sharey=True)
        for index, measure in enumerate(present):
            axes = panels[index // columns][index % columns]
            for position, group in enumerate(groups):
                _whisker(axes, position + 0.17, group.base[measure.name], colour(group.arm), hollow=True)
                _whisker(axes, position - 0.08, group.final[measure.name], colour(group.arm), hollow=False)
            axes.set_title(measure.label, fontsize=10)
            name_lines(axes, names)
            axes.grid(axis="y", visible=False)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            if measure.unit == "share":
                percent(axes.xaxis)
            axes.margins(x=0.12)
            low, high = axes.get_xlim()
            if low < 0.25 * high:  # near enough to zero that leaving it out would mislead
                axes.set_xlim(left=min(0.0, low))
        for index in range(len(present), lines * columns):
            panels[index // columns][index % columns].set_visible(False)
        return figure

    return render("arms", "Arms side by side, before and after evolution, with 95% intervals", draw)


def _whisker(axes: Axes, position: float, estimate: Estimate | None, shade: str, *, hollow: bool) -> None:
    if estimate is None:
        return
    if estimate.low is not None and estimate.high is not None:
        thickness, alpha = (1.2, 0.5) if hollow else (2.2, 1.0)
        axes.plot([estimate.low, estimate.high], [position] * 2, color=shade, linewidth=thickness, alpha=alpha)
    face, size = ("none", 4) if hollow else (shade, 6)
    axes.plot([estimate.mean], [position], "o", color=shade, markersize=size, markerfacecolor=face)


def traffic_bars(study: Study) -> str | None:
    """Bytes that crossed a shop's border, by destination, direction and kind; a bar an arm (means over seeds).

    What only the evaluation asked has a panel of its own. No two kinds look alike.
    """
    stacks = {group.label: flows(group) for group in study.groups}
    kinds = list(dict.fromkeys(kind for stack in stacks.values() for kind in stack))
    sides = [[kind for kind in kinds if is_evaluation(kind) is evaluation] for evaluation in (False, True)]
    titles = ("Bytes per run", "Of the evaluation alone")
    wanted = [(title, side) for title, side in zip(titles, sides, strict=True) if side]
    if not wanted:
        return None

    def draw() -> Figure:
        # The legend below takes a line for two kinds.
        height = 1.1 + (0.1 + line_inches(list(stacks))) * len(stacks) + 0.14 * len(kinds)
        figure = Figure(figsize=(10, height), layout="constrained")
        widths = [2.0, 1.0][: len(wanted)]
        panels = list(figure.subplots(1, len(wanted), squeeze=False, sharey=True, width_ratios=widths)[0])
        for axes, (title, side) in zip(panels, wanted, strict=True):
            starts = dict.fromkeys(stacks, 0.0)
            for kind in side:
                lengths = [stacks[label].get(kind, 0.0) for label in stacks]
                axes.barh(
                    range(len(stacks)), lengths, left=list(starts.values()), label=kind, **_look(kinds.index(kind))
                )
                starts = {label: starts[label] + length for label, length in zip(stacks, lengths, strict=True)}
            name_lines(axes, list(stacks))
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.xaxis.set_major_formatter(lambda value, _: bytes_text(value))
            axes.set_title(title)
            axes.grid(axis="y", visible=False)
        legend_below(figure, panels)
        return figure

    return render("traffic", "Bytes by destination, direction and kind", draw)


def _look(number: int) -> dict[str, Any]:
    """A colour of a kind's own; when colours run out, hatched ones."""
    again, place = divmod(number, len(COLOURS) - 1)
    hatch = _HATCHES[again % len(_HATCHES)]
    return {"color": COLOURS[1 + place], "height": 0.62, "hatch": hatch, "edgecolor": "#ffffff", "linewidth": 0}
