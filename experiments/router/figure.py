"""The deferral curve and the reliability diagram, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from ecc_fed.reporting.plots.svg import BASE_COLOUR, COLOURS, as_file, percent, render
from ecc_fed.reporting.routing.calibration import Bin
from ecc_fed.reporting.routing.deferral import DeferralCurve


def worth_figure(router: DeferralCurve, oracle: DeferralCurve, bins: Sequence[Bin]) -> str:
    """A file's worth of SVG."""

    def draw() -> Figure:
        figure = Figure(figsize=(10, 4), layout="constrained")
        deferral, chances = figure.subplots(1, 2)
        ends = [router.qualities[0], router.qualities[-1]]
        deferral.plot([0, 1], ends, "--", color=BASE_COLOUR, label="random")
        deferral.plot(oracle.shares, oracle.qualities, ":", color=COLOURS[3], label="oracle")
        deferral.plot(router.shares, router.qualities, color=COLOURS[1], label="router")
        deferral.set_title("Quality by the share handed to the cloud")
        deferral.set_xlabel("Queries that the cloud answers")
        percent(deferral.xaxis)
        percent(deferral.yaxis)
        deferral.legend()
        chances.plot([0, 1], [0, 1], "--", color=BASE_COLOUR)
        largest = max((each.queries for each in bins), default=1.0)
        sizes = [20 + 180 * each.queries / largest for each in bins]
        chances.scatter([b.chance for b in bins], [b.frequency for b in bins], sizes, color=COLOURS[1])
        chances.set_title("How often a chance came true (area: queries)")
        chances.set_xlabel("Chance that the reply is good")
        chances.set_ylabel("Replies that were")
        return figure

    return as_file(render("router", "Deferral curve and reliability of the router", draw))
