"""Do two studies put their arms in the same order? Kendall's tau-b, such as of simulated shops and of real dialogues.

    python -m experiments.real.order RUNS_A RUNS_B
    python -m experiments.real.order RUNS_A RUNS_B --measure fact_accuracy chrf

An arm's figure is its mean after evolution over the queries that every arm of its study answered. tau-b is 1 where both
studies order all pairs of arms alike, -1 where they order all the other way round, and about 0 where the orders have
nothing to do with each other; ties count for neither. Its interval draws the dialogues of both studies anew, each by
itself. With few arms it is wide: of five arms there are ten pairs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecc_fed.core.errors import EccError, UserError
from ecc_fed.core.rows import SampleRow
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Values
from ecc_fed.core.statistics.resampling import RESAMPLES, divide, resampled
from ecc_fed.reporting.measures import BY_NAME, MEASURES, Measure
from ecc_fed.reporting.study import Group, load_study
from ecc_fed.reporting.units import QueryKey, units_of

_FEWEST_ARMS = 3
# What two studies are compared by where nothing is said: what needs no judge.
_USUAL = ("chrf", "perplexity")


def tau_b(left: Values, right: Values) -> Values:
    """Kendall's tau-b (Kendall 1945) along the last axis: (n_c - n_d) / sqrt((n_0 - n_1)(n_0 - n_2)).

    n_c and n_d are the pairs that both sides order alike and otherwise, n_0 all pairs, n_1 and n_2 those that a side
    leaves tied.

    Args:
        left: (..., points).
        right: of the same shape.

    Returns:
        (...,), -1 to 1; NaN where a side is constant.
    """
    first, second = np.triu_indices(left.shape[-1], 1)
    one, other = (np.sign(side[..., first] - side[..., second]) for side in (left, right))
    untied = (one != 0).sum(axis=-1) * (other != 0).sum(axis=-1)
    same = (one * other).sum(axis=-1)
    return np.where(untied > 0, same / np.sqrt(np.where(untied > 0, untied, 1)), np.nan)


@dataclass(frozen=True)
class Order:
    """One study by one measure: arms, the higher figure the better, their means and as many draws of these.

    `means` is (arms,), `draws` (resamples, arms); both are turned so that more is better.
    """

    arms: tuple[str, ...]
    means: Values
    draws: Values

    def of(self, arms: Sequence[str]) -> Order:
        """The same of some arms."""
        places = [self.arms.index(arm) for arm in arms]
        return Order(tuple(arms), self.means[places], self.draws[:, places])

    @property
    def best_first(self) -> tuple[str, ...]:
        """The arms in their order."""
        return tuple(self.arms[place] for place in np.argsort(-self.means, kind="stable"))


def order_of(groups: Mapping[str, Group], measure: Measure, seed: int) -> Order:
    """The arms to which the measure applies, over the queries that all of them answered.

    Raises:
        UserError: there are none such.
    """
    rows = {arm: _measured(group, measure) for arm, group in groups.items()}
    rows = {arm: of for arm, of in rows.items() if of}
    shared = [key for key in next(iter(rows.values()), {}) if all(key in of for of in rows.values())]
    if not shared:
        raise UserError(f"No query has {measure.name} in every arm: {', '.join(groups)}.")
    cells = np.array([[measure.fraction(of[key]) for of in rows.values()] for key in shared], dtype=np.float64)
    above, below = cells[:, :, 0], cells[:, :, 1]
    sign = -1.0 if measure.better == "lower" else 1.0
    of_first = next(iter(rows.values()))
    units = units_of([(key[0], of_first[key]) for key in shared])
    both = np.hstack([above, below])
    sums = resampled(units, seed, RESAMPLES, lambda counts: counts @ both)
    width = len(rows)
    means = divide(above.sum(axis=0), below.sum(axis=0))
    return Order(tuple(rows), sign * means, sign * divide(sums[:, :width], sums[:, width:]))


def _measured(group: Group, measure: Measure) -> dict[QueryKey, SampleRow]:
    return {key: row for key, row in group.rows("final").items() if measure.fraction(row) is not None}


@dataclass(frozen=True)
class Agreement:
    """How far two orders agree: tau-b with its interval, over the arms that both have."""

    measures: tuple[Measure, Measure]
    left: Order
    right: Order
    tau: float
    low: float | None
    high: float | None

    @property
    def text(self) -> str:
        """One sentence."""
        arms = len(self.left.arms)
        pairs = arms * (arms - 1) // 2
        names = " and ".join(dict.fromkeys(measure.label for measure in self.measures))
        interval = "" if self.low is None or self.high is None else f" [{self.low:+.2f}, {self.high:+.2f}]"
        return (
            f"{names}: of {arms} arms ({pairs} pairs) the two studies' orders {_verdict(self.tau, self.low, self.high)}"
            f" (tau-b {self.tau:+.2f}{interval}). First study: {', '.join(self.left.best_first)}. "
            f"Second: {', '.join(self.right.best_first)}."
        )


def _verdict(tau: float, low: float | None, high: float | None) -> str:
    if low is not None and high is not None and low <= 0 <= high:
        return "cannot be told to agree or to disagree"
    if tau > 0:
        return "are the same" if tau >= 1 else "agree for the most part" if tau >= 0.5 else "agree a little"
    if tau < 0:
        return "are opposite" if tau <= -1 else "disagree for the most part" if tau <= -0.5 else "disagree a little"
    return "have nothing to do with each other"


def agreement(
    left: Mapping[str, Group], right: Mapping[str, Group], measures: tuple[Measure, Measure], seed: int = 0
) -> Agreement:
    """Compares the orders of the arms that both studies measured.

    Raises:
        UserError: they share fewer than three such arms, or a side has the same figure for all.
    """
    orders = [
        order_of(groups, measure, derive_seed(seed, "order", side))
        for side, groups, measure in zip(("left", "right"), (left, right), measures, strict=True)
    ]
    arms = [arm for arm in orders[0].arms if arm in orders[1].arms]
    if len(arms) < _FEWEST_ARMS:
        names = " and ".join(dict.fromkeys(measure.name for measure in measures))
        raise UserError(
            f"The two studies share {len(arms)} arms with {names} "
            f"({', '.join(arms) or 'none'}); an order needs three or more."
        )
    one, other = (order.of(arms) for order in orders)
    tau = float(tau_b(one.means, other.means))
    if np.isnan(tau):
        raise UserError("All arms of a study have the same figure: there is no order.")
    draws = tau_b(one.draws, other.draws)
    draws = draws[np.isfinite(draws)]
    low, high = (float(bound) for bound in np.percentile(draws, [2.5, 97.5])) if len(draws) else (None, None)
    return Agreement(measures, one, other, tau, low, high)


def _arms(folder: Path) -> dict[str, Group]:
    """The study's arms.

    Raises:
        UserError: an arm has several settings, of which none is meant more than another.
    """
    groups: dict[str, Group] = {}
    for group in load_study([folder]).groups:
        if group.arm in groups:
            raise UserError(
                f"{folder} has the arm {group.arm} under several settings ({group.variant_label}): give the folder of "
                "one of them."
            )
        groups[group.arm] = group
    return groups


def main(arguments: list[str] | None = None) -> int:
    """Prints a sentence a measure; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, metavar="RUNS_A")
    parser.add_argument("second", type=Path, metavar="RUNS_B")
    parser.add_argument(
        "--measure",
        nargs="+",
        choices=[measure.name for measure in MEASURES if measure.better],
        metavar="NAME",
        help=f"one for both, or one for each; default: {', '.join(_USUAL)}, one after another",
    )
    given = parser.parse_args(arguments)
    names = given.measure or []
    if len(names) > 2:
        parser.error("--measure takes one name for both studies, or one for each")
    wanted = [(names[0], names[-1])] if names else [(name, name) for name in _USUAL]
    try:
        left, right = _arms(given.first), _arms(given.second)
        for first, second in wanted:
            print(agreement(left, right, (BY_NAME[first], BY_NAME[second])).text)
    except EccError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
