"""Who could learn what: a party a row, what it saw in bytes, and the best that attacks got of it under each defence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecc_fed.core.rows import AttackTarget
from ecc_fed.reporting.attacks import AttackFigure, shown
from ecc_fed.reporting.formatting import MISSING, bytes_text
from experiments.paper.table6 import markdown
from experiments.privacy.attacked import Attacked

LEAKS = "**leaks**"


@dataclass(frozen=True)
class Party:
    """Who is curious, whose adapter it holds, and which bytes brought it there (a field of `Costs`; empty: none
    did)."""

    name: str
    target: AttackTarget
    bytes_key: str = ""


PARTIES = (
    Party("Aggregator, curious", "device", "adapters_up"),
    Party("Aggregator under SecAgg+, or another shop", "other_shop", "adapters_down"),
    Party("Who takes the device", "device"),
)


def best_membership(one: Attacked, target: AttackTarget) -> AttackFigure | None:
    """Of the ways to tell members the one with the largest AUC."""
    ways = [figure for figure in one.figures if figure.attack.startswith("membership") and figure.target == target]
    return max(ways, key=lambda figure: figure.estimate.mean, default=None)


def best_exposure(one: Attacked, target: AttackTarget) -> AttackFigure | None:
    """Of the planted secrets the kind that stands out furthest."""
    kinds = [figure for figure in one.figures if figure.attack == "exposure" and figure.target == target]
    return max(kinds, key=lambda figure: figure.estimate.mean, default=None)


def leaks(figure: AttackFigure, control: AttackFigure | None) -> bool:
    """Whether more comes out than by chance: an AUC's interval lies above one half, or a secret's above the control's.

    The control is the same attack on the bare base.
    """
    low = figure.estimate.low
    if low is None:
        return False
    if figure.attack.startswith("membership"):
        return low > 0.5
    return control is not None and control.estimate.high is not None and low > control.estimate.high


def cell(one: Attacked, target: AttackTarget) -> str:
    """The best membership attack and the best known secret, and the word for it."""
    found = [figure for figure in (best_membership(one, target), best_exposure(one, target)) if figure is not None]
    if not found:
        return MISSING
    says = [LEAKS] if any(leaks(figure, one.figure(figure.attack, "base", figure.kind)) for figure in found) else []
    parts = [
        f"AUC {shown(figure)}" if figure.attack.startswith("membership") else f"{shown(figure)} bits ({figure.kind})"
        for figure in found
    ]
    return "; ".join([*says, *parts])


def cloud_cell(one: Attacked) -> str:
    """How many of the customers' values it read."""
    if one.heard is None:
        return MISSING
    told = f"{one.heard.found:,} of {one.heard.said:,} values"
    return f"{LEAKS}; {told}" if one.heard.found else told


def threat_table(found: Sequence[Attacked]) -> str:
    """A row a party and way to aggregate, a column a defence."""
    defences = list(dict.fromkeys(one.defence for one in found))
    by_method: dict[str, dict[str, Attacked]] = {}
    for one in found:
        by_method.setdefault(one.method, {})[one.defence] = one
    rows = []
    for method, of in by_method.items():
        told = [cloud_cell(of[defence]) if defence in of else MISSING for defence in defences]
        if set(told) != {MISSING}:
            rows.append(["The cloud", f"`{method}`", _mean_bytes(of, "words_up"), *told])
        for party in PARTIES:
            cells = [cell(of[defence], party.target) if defence in of else MISSING for defence in defences]
            saw = _saw(of, party)
            if set(cells) == {MISSING} or saw == MISSING:
                continue
            rows.append([party.name, f"`{method}`", saw, *cells])
    return markdown(["Party", "Arm", "Saw", *defences], rows)


def _saw(of: Mapping[str, Attacked], party: Party) -> str:
    """Bytes of a run's adapters, a mean over defences; what is taken with the device needs none."""
    return _mean_bytes(of, party.bytes_key) if party.bytes_key else "one adapter"


def _mean_bytes(of: Mapping[str, Attacked], key: str) -> str:
    told = [value for one in of.values() if (value := getattr(one.costs, key)) is not None]
    return bytes_text(sum(told) / len(told)) if told else MISSING
