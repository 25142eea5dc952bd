"""What happens over server rounds. Each plot is an `<svg>` element, or None where the runs hold nothing to draw."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from ecc_fed.core.statistics import weighted_mean
from ecc_fed.reporting.counts import serving
from ecc_fed.reporting.plots.svg import colour, legend_below, percent, render, round_axis, styles
from ecc_fed.reporting.run import Run
from ecc_fed.reporting.study import Group, Study


def _curve(runs: Sequence[Run], key: str) -> tuple[list[int], list[float]]:
    """Mean over runs of a number per server round; rounds without a number are left out."""
    series = [serving(run)[key] for run in runs]
    rounds, means = [], []
    for index in range(max(map(len, series), default=0)):
        mean = weighted_mean([of[index] if index < len(of) else None for of in series])
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
            round_axis(axes)
            axes.margins(y=0.15)
        percent(panels[0].yaxis)
        panels[0].set_ylim(bottom=0)
        legend_below(figure, panels)
        return figure

    return render("curves", "Escalation rate and mean score over server rounds", draw)


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
        round_axis(axes)
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
