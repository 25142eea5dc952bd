"""What leaks against what the replies are still worth: a point an arm and defence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecc_fed.core.rows import AttackTarget
from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.attacks import TARGETS, AttackFigure
from ecc_fed.reporting.comparison.figures.marks import MARKERS
from ecc_fed.reporting.measures import BY_NAME
from ecc_fed.reporting.plots.svg import COLOURS, as_file, legend_below, render
from experiments.privacy.attacked import Attacked
from experiments.privacy.threats import best_exposure, best_membership

WORTH = "final_score"
_LEAKS: Sequence[tuple[str, Callable[[Attacked, AttackTarget], AttackFigure | None]]] = (
    ("Membership, best AUC", best_membership),
    ("Best known secret, bits", best_exposure),
)


def frontier(found: Sequence[Attacked]) -> str | None:
    """A line of panels for every kind of adapter that was attacked, the bare base aside; None where none was."""
    targets = [target for target in TARGETS if target != "base" and any(best_membership(one, target) for one in found)]
    if not targets:
        return None
    defences = list(dict.fromkeys(one.defence for one in found))
    methods = list(dict.fromkeys(one.method for one in found))

    def draw() -> Figure:
        figure = Figure(figsize=(10, 0.8 + 3.4 * len(targets)), layout="constrained")
        panels = figure.subplots(len(targets), len(_LEAKS), squeeze=False, sharey=True)
        for line, target in zip(panels, targets, strict=True):
            for axes, (label, leak) in zip(line, _LEAKS, strict=True):
                for one in found:
                    figure_of, worth = leak(one, target), one.worth[WORTH]
                    if figure_of is not None and worth is not None:
                        place = 1 + defences.index(one.defence)
                        mark = MARKERS[methods.index(one.method) % len(MARKERS)]
                        _point(axes, figure_of.estimate, worth, COLOURS[place % len(COLOURS)], mark)
                axes.set_xlabel(label)
                axes.set_title(TARGETS[target])
            line[0].set_ylabel(BY_NAME[WORTH].label)
        for number, defence in enumerate(defences):
            panels[0][0].plot([], [], "o", color=COLOURS[(1 + number) % len(COLOURS)], label=defence)
        for number, method in enumerate(methods):
            mark = MARKERS[number % len(MARKERS)]
            panels[0][0].plot([], [], mark, color="#8a8f98", markerfacecolor="none", label=method)
        legend_below(figure, [panels[0][0]])
        return figure

    return as_file(render("frontier", "What leaks against what replies are worth, with 95% intervals", draw))


def _point(axes: Axes, x: Estimate, y: Estimate, shade: str, mark: str) -> None:
    for low, high, along in ((x.low, x.high, True), (y.low, y.high, False)):
        if low is not None and high is not None:
            ends = ([low, high], [y.mean] * 2) if along else ([x.mean] * 2, [low, high])
            axes.plot(*ends, color=shade, linewidth=0.9, alpha=0.45)
    axes.plot([x.mean], [y.mean], mark, color=shade, markersize=6)
