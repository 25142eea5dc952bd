"""Late shops: the mean score of their replies by round since joining, and the rounds that they need to a given score.

    ecc-fed study late_shops --allow experiments --out runs/late_shops

A shop is late where the first round that it lived is not the run's first. A round's score is the mean of Eq. (1) over
the replies of that round that were judged; round 0 serves with what the shop joined with: the others' adapter, or the
bare base. Shops of all seeds count alike; intervals draw shops of every seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ecc_fed.core.errors import UserError
from ecc_fed.core.ranges import require_number
from ecc_fed.core.rows import MetricRow
from ecc_fed.core.run_directory import write_text
from ecc_fed.core.statistics import Estimate, Units, bootstrap_mean
from ecc_fed.reporting.formatting import difference_text, estimate_text
from ecc_fed.reporting.measures import BY_NAME
from ecc_fed.reporting.plots.svg import as_file, colour, legend_below, render
from ecc_fed.reporting.run import Run, load_run

_SEED = 20261
BASELINE = "local"
_SCORE = BY_NAME["final_score"]
# One shop of one seed.
Key = tuple[int, str]
# Scores by round since joining.
Curve = Mapping[int, float]


def late_curves(runs: Iterable[Run]) -> dict[str, dict[Key, Curve]]:
    """By arm, of every late shop the score of each round that it lived and was judged in."""
    found: dict[str, dict[Key, Curve]] = {}
    for run in runs:
        rows = [row for row in run.metrics or () if row.split == "stream"]
        for shop_id in sorted({row.shop_id for row in rows}):
            own = [row for row in rows if row.shop_id == shop_id]
            if min(row.server_round for row in own) > 1:
                found.setdefault(run.arm, {})[run.seed, shop_id] = _curve(own)
    return found


def _curve(rows: Sequence[MetricRow]) -> Curve:
    """Cycles of one round count by the replies that they served."""
    total: dict[int, float] = {}
    served: dict[int, int] = {}
    for row in rows:
        if row.mean_score is not None:
            at = row.rounds_since_joining
            total[at] = total.get(at, 0.0) + row.served * row.mean_score
            served[at] = served.get(at, 0) + row.served
    return {at: total[at] / count for at, count in sorted(served.items()) if count}


def rounds_to(curve: Curve, score: float) -> int | None:
    """The first round since joining whose score is as high; None where none is."""
    return next((at for at, value in sorted(curve.items()) if value >= score), None)


def _at(shops: Mapping[Key, Curve], at: int) -> dict[Key, float]:
    return {key: curve[at] for key, curve in shops.items() if at in curve}


def _mean(values: Mapping[Key, float]) -> Estimate | None:
    keys = sorted(values)
    units = Units(keys, range(len(keys)))
    return bootstrap_mean(np.array([values[key] for key in keys], dtype=np.float64), units, _SEED)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def differences(curves: Mapping[Key, Curve], others: Mapping[Key, Curve]) -> dict[int, Estimate]:
    """By round since joining, how much higher the score of the same shop of the same seed is than under another arm."""
    found: dict[int, Estimate] = {}
    for at in sorted({at for curve in curves.values() for at in curve}):
        own, theirs = _at(curves, at), _at(others, at)
        paired = {key: own[key] - theirs[key] for key in own.keys() & theirs.keys()}
        if paired and (estimate := _mean(paired)) is not None:
            found[at] = estimate
    return found


def page(curves: Mapping[str, Mapping[Key, Curve]], score: float) -> str:
    """Both tables, one row an arm."""
    rounds = sorted({at for shops in curves.values() for curve in shops.values() for at in curve})
    head = ["Arm", "Late shops", *(f"{at}" for at in rounds)]
    scores = [_line(head), _line(["---"] * len(head))]
    needed = [_line(["Arm", f"Reached {score:g}", "Rounds to it, of those"]), _line(["---"] * 3)]
    for arm, shops in curves.items():
        means = [_mean(_at(shops, at)) for at in rounds]
        scores.append(_line([f"`{arm}`", str(len(shops)), *(estimate_text(mean, _SCORE) for mean in means)]))
        first = {key: rounds_to(curve, score) for key, curve in shops.items()}
        reached = {key: float(at) for key, at in first.items() if at is not None}
        mean = f"{np.mean(list(reached.values())):.1f}" if reached else "–"
        needed.append(_line([f"`{arm}`", f"{len(reached)} of {len(shops)}", mean]))
    paired = [_line(head[:1] + head[2:]), _line(["---"] * (len(head) - 1))]
    for arm, shops in curves.items():
        if arm != BASELINE and BASELINE in curves:
            found = differences(shops, curves[BASELINE])
            paired.append(_line([f"`{arm}`", *(difference_text(found.get(at), _SCORE) for at in rounds)]))
    return "\n".join([
        "# Late shops\n",
        "Mean score of the replies by round since joining; round 0 is served with what the shop joined with.\n",
        *scores,
        "",
        "The same, paired by shop with `local`.\n",
        *paired,
        "",
        f"Rounds until a round's mean score is {score:g}.\n",
        *needed,
        "",
    ])  # fmt: skip


def _csv(curves: Mapping[str, Mapping[Key, Curve]]) -> str:
    lines = ["arm,seed,shop,rounds_since_joining,mean_score"]
    for arm, shops in curves.items():
        for (seed, shop_id), curve in sorted(shops.items()):
            lines += [f"{arm},{seed},{shop_id},{at},{value:.6g}" for at, value in curve.items()]
    return "\n".join([*lines, ""])


@dataclass(frozen=True)
class HeadStart:
    """The view of study `late_shops`.

    Args:
        score: to be reached, 0 to 1.

    Raises:
        ConfigError: it is out of range.
    """

    score: float = 0.6

    def __post_init__(self) -> None:
        require_number("study.view.score", self.score, 0, 1)

    def write(self, directory: Path, output: Path) -> list[Path]:
        """Writes `late_shops.md`, `.csv` and `.svg` for the runs in `directory`; returns their paths.

        Raises:
            UserError: no run there has late shops.
            RunDirectoryError: a run's file is broken, or the output cannot be written.
        """
        found = sorted(path.parent for path in directory.glob("**/run.json"))
        curves = late_curves(load_run(root) for root in found)
        if not curves:
            raise UserError(
                f"{directory} holds no run with late shops. Run one with participation.late_share=0.5, or a trace."
            )
        texts = {"md": page(curves, self.score), "csv": _csv(curves), "svg": figure(curves)}
        paths = [output / f"late_shops.{ending}" for ending in texts]
        for path, text in zip(paths, texts.values(), strict=True):
            write_text(path, text)
        return paths


def figure(curves: Mapping[str, Mapping[Key, Curve]]) -> str:
    """A curve an arm, with its intervals."""

    def draw() -> Figure:
        drawn = Figure(figsize=(7, 4), layout="constrained")
        axes = drawn.subplots()
        for number, (arm, shops) in enumerate(curves.items()):
            shade, aside = colour(arm), 0.04 * (number - (len(curves) - 1) / 2)
            means = {at: _mean(_at(shops, at)) for at in sorted({at for curve in shops.values() for at in curve})}
            known = {at + aside: mean for at, mean in means.items() if mean is not None}
            for place, mean in known.items():
                if mean.low is not None and mean.high is not None:
                    axes.plot([place, place], [mean.low, mean.high], color=shade, linewidth=0.9, alpha=0.5)
            axes.plot(list(known), [one.mean for one in known.values()], "o-", color=shade, markersize=4, label=arm)
        axes.set_xlabel("Rounds since joining")
        axes.set_ylabel("Mean score of the replies, Eq. (1)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(bottom=0)
        legend_below(drawn, [axes])
        return drawn

    return as_file(render("late", "Mean score of late shops by rounds since joining, with 95% intervals", draw))
