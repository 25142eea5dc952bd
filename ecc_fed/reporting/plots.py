"""The report's plots. Each gives an `<svg>` element, or None where the runs hold nothing to draw."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from ecc_fed.core.rows import Phase
from ecc_fed.core.statistics import Estimate, weighted_mean
from ecc_fed.reporting.formatting import bytes_text
from ecc_fed.reporting.measures import BY_NAME
from ecc_fed.reporting.rows import Run
from ecc_fed.reporting.study import Group, Study
from ecc_fed.reporting.summary import by_shop, serving
from ecc_fed.reporting.svg import BASE_COLOUR, COLOURS, colour, legend_below, percent, render, styles
from ecc_fed.reporting.tables import flows

_MAX_LABELLED_SHOPS = 20


def _curve(runs: Sequence[Run], key: str) -> tuple[list[int], list[float]]:
    """Mean over runs of a number per server round; rounds without a number are left out."""
    series = [serving(run)[key] for run in runs]
    rounds, means = [], []
    for index in range(max(map(len, series), default=0)):
        mean = weighted_mean([of[index] if index < len(of) else None for of in series], [1.0] * len(series))
        if mean is not None:
            rounds.append(index + 1)
            means.append(mean)
    return rounds, means


def curves(study: Study) -> str | None:
    """Escalation rate and mean score over server rounds: a line an arm, thin lines its seeds."""
    wanted = {"escalation_rate": "Escalation rate", "mean_score": "Mean score of served replies"}
    lines = {key: [(group, *_curve(group.runs, key)) for group in study.groups] for key in wanted}
    if not any(rounds for of in lines.values() for _, rounds, _ in of):
        return None
    line_style = styles(study)

    def draw() -> Figure:
        figure = Figure(figsize=(10, 3.6), layout="constrained")
        panels = figure.subplots(1, 2)
        for axes, (key, title) in zip(panels, wanted.items(), strict=True):
            for group, rounds, means in lines[key]:
                if not rounds:
                    continue
                if len(group.runs) > 1:
                    for run in group.runs:
                        xs, ys = _curve([run], key)
                        axes.plot(xs, ys, color=colour(group.arm), linewidth=0.8, alpha=0.4)
                shade, style = colour(group.arm), line_style[group.label]
                axes.plot(rounds, means, style, color=shade, label=group.label, marker="o", markersize=4)
            axes.set_title(title)
            axes.set_xlabel("Server round")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.margins(y=0.15)
        percent(panels[0].yaxis)
        panels[0].set_ylim(bottom=0)
        legend_below(figure, panels)
        return figure

    return render("curves", "Escalation rate and mean score over server rounds", draw)


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

    def draw() -> Figure:
        # Long names leave less room for the panels.
        columns = min(4 if max(len(group.label) for group in groups) <= 20 else 3, len(present))
        lines = -(-len(present) // columns)
        layout = ConstrainedLayoutEngine(hspace=0.08)
        figure = Figure(figsize=(10, lines * (0.9 + 0.32 * len(groups))), layout=layout)
        panels = figure.subplots(lines, columns, squeeze=False, sharey=True)
        for index, measure in enumerate(present):
            axes = panels[index // columns][index % columns]
            for position, group in enumerate(groups):
                _whisker(axes, position + 0.17, group.base[measure.name], colour(group.arm), hollow=True)
                _whisker(axes, position - 0.08, group.final[measure.name], colour(group.arm), hollow=False)
            axes.set_title(measure.label, fontsize=10)
            axes.set_yticks(range(len(groups)), [group.label for group in groups])
            axes.set_ylim(len(groups) - 0.5, -0.5)
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


def shop_bars(study: Study, name: str) -> list[str]:
    """One measure for every shop: before evolution, and after it in every arm (means over seeds).

    A plot for each part of a sweep. With more than 20 shops, each arm's shops in ascending order: a
    bar each would be no picture.
    """
    drawn = [_shop_bars(part, name, index) for index, part in enumerate(study.variants)]
    return [svg for svg in drawn if svg is not None]


def _shop_bars(part: Study, name: str, index: int) -> str | None:
    measure = BY_NAME[name]
    groups = [group for group in part.groups if group.arm != "none"] or list(part.groups)
    series = [("before", BASE_COLOUR, _shop_means(part.groups[0], "base", name))]
    series += [(group.arm, colour(group.arm), _shop_means(group, "final", name)) for group in groups]
    shops = sorted({shop for _, _, values in series for shop in values})
    if not shops:
        return None
    label = part.groups[0].variant_label

    def draw() -> Figure:
        figure = Figure(figsize=(10, 3.2), layout="constrained")
        axes = figure.subplots()
        if len(shops) <= _MAX_LABELLED_SHOPS:
            _draw_bars(axes, shops, series)
        else:
            _draw_sorted(axes, series)
        axes.set_title(f"{measure.label}, per shop" + (f" ({label})" if label else ""))
        if measure.unit == "share":
            percent(axes.yaxis)
        axes.set_ylim(bottom=0)
        legend_below(figure, [axes])
        return figure

    return render(f"shops-{index}-{name}", f"{measure.label} per shop before and after evolution", draw)


# Label, colour, and a value for every shop.
Series = tuple[str, str, Mapping[str, float]]


def _shop_means(group: Group, phase: Phase, name: str) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for run in group.runs:
        for shop, of in by_shop(run.rows(phase)).items():
            value = of[name]
            if value is not None:
                found.setdefault(shop, []).append(value)
    return {shop: sum(values) / len(values) for shop, values in found.items()}


def _draw_bars(axes: Axes, shops: Sequence[str], series: Sequence[Series]) -> None:
    width = 0.84 / len(series)
    for index, (label, shade, values) in enumerate(series):
        there = [(position, values[shop]) for position, shop in enumerate(shops) if shop in values]
        places = [position - 0.42 + width * (index + 0.5) for position, _ in there]
        axes.bar(places, [value for _, value in there], width * 0.92, color=shade, label=label)
    if len(shops) > 8:
        axes.set_xticks(range(len(shops)), shops, rotation=30, ha="right")
    else:
        axes.set_xticks(range(len(shops)), shops)
    axes.grid(axis="x", visible=False)


def _draw_sorted(axes: Axes, series: Sequence[Series]) -> None:
    for label, shade, values in series:
        ordered = sorted(values.values())
        axes.plot(range(1, len(ordered) + 1), ordered, color=shade, label=label)
    axes.set_xlabel("Shops in ascending order")


def traffic_bars(study: Study) -> str | None:
    """Bytes that crossed a shop's border, by destination, direction and kind; a bar an arm (means over seeds)."""
    stacks = {group.label: flows(group) for group in study.groups}
    kinds = list(dict.fromkeys(kind for stack in stacks.values() for kind in stack))
    if not kinds:
        return None

    def draw() -> Figure:
        figure = Figure(figsize=(10, 1.3 + 0.42 * len(stacks)), layout="constrained")
        axes = figure.subplots()
        starts = dict.fromkeys(stacks, 0.0)
        for index, kind in enumerate(kinds):
            widths = [stacks[label].get(kind, 0.0) for label in stacks]
            shade = COLOURS[1 + index % (len(COLOURS) - 1)]
            axes.barh(range(len(stacks)), widths, left=list(starts.values()), height=0.62, color=shade, label=kind)
            starts = {label: starts[label] + width for label, width in zip(stacks, widths, strict=True)}
        axes.set_yticks(range(len(stacks)), list(stacks))
        axes.set_ylim(len(stacks) - 0.5, -0.5)
        axes.xaxis.set_major_formatter(lambda value, _: bytes_text(value))
        axes.set_title("Bytes per run")
        axes.grid(axis="y", visible=False)
        legend_below(figure, [axes])
        return figure

    return render("traffic", "Bytes by destination, direction and kind", draw)


def aggregation_curves(study: Study) -> str | None:
    """Relative error of averaging A and B apart, over server rounds (mean over seeds)."""
    lines = {group.label: (group, _aggregation(group)) for group in study.groups}
    lines = {label: (group, curve) for label, (group, curve) in lines.items() if curve}
    if not lines:
        return None
    line_style = styles(study)

    def draw() -> Figure:
        figure = Figure(figsize=(6, 2.8), layout="constrained")
        axes = figure.subplots()
        for label, (group, curve) in lines.items():
            style = line_style[label]
            axes.plot(
                list(curve), list(curve.values()), style, color=colour(group.arm), label=label, marker="o", markersize=4
            )
        axes.set_title("Relative error of the averaged adapter")
        axes.set_xlabel("Server round")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(bottom=0)
        axes.margins(y=0.15)
        legend_below(figure, [axes])
        return figure

    return render("aggregation", "Relative error of averaging A and B apart, over server rounds", draw)


def _aggregation(group: Group) -> dict[int, float]:
    """Server round -> relative error, a mean over the seeds that report one."""
    found: dict[int, list[float]] = {}
    for run in group.runs:
        for row in run.info.aggregation:
            if row.relative_error is not None:
                found.setdefault(row.server_round, []).append(row.relative_error)
    return {server_round: sum(errors) / len(errors) for server_round, errors in sorted(found.items())}
