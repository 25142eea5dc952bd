"""Who could learn what: a party a row, what it saw in bytes, and the best that attacks got of it under each defence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecc_fed.core.rows import AttackTarget
from ecc_fed.reporting.attacks import AttackFigure, shown
from ecc_fed.reporting.counts import TRAFFIC_KEYS, traffic
from ecc_fed.reporting.formatting import MISSING, bytes_text
from ecc_fed.reporting.study import settings_text
from ecc_fed.reporting.sweep import is_of_the_server
from experiments.paper.table6 import markdown
from experiments.privacy.attacked import Attacked

LEAKS = "**leaks**"
_WORDS_UP = TRAFFIC_KEYS["cloud_teacher", "up"]


@dataclass(frozen=True)
class Party:
    """Who is curious, whose adapter it holds, and which bytes brought it there (a column of
    `AggregationRow`; empty: none did)."""

    name: str
    target: AttackTarget
    bytes_key: str = ""


PARTIES = (
    Party("Aggregator, curious", "device", "bytes_up"),
    Party("Aggregator under SecAgg+, or another shop", "other_shop", "bytes_down"),
    Party("Who takes the device", "device"),
)


def defence_of(one: Attacked) -> str:
    """What the shops did about it; plain where nothing."""
    return settings_text(one.group.settings(lambda name: not is_of_the_server(name))) or "as it is"


def method_of(one: Attacked) -> str:
    """The arm and the way to aggregate."""
    server = one.group.settings(is_of_the_server) if one.group.aggregates else ()
    return f"{one.group.arm} ({settings_text(server)})" if server else one.group.arm


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
    defences = list(dict.fromkeys(map(defence_of, found)))
    by_method: dict[str, dict[str, Attacked]] = {}
    for one in found:
        by_method.setdefault(method_of(one), {})[defence_of(one)] = one
    rows = []
    for method, of in by_method.items():
        told = [cloud_cell(of[defence]) if defence in of else MISSING for defence in defences]
        if set(told) != {MISSING}:
            rows.append(["The cloud", f"`{method}`", _sent(of), *told])
        for party in PARTIES:
            cells = [cell(of[defence], party.target) if defence in of else MISSING for defence in defences]
            saw = _saw(of, party)
            if set(cells) == {MISSING} or saw == MISSING:
                continue
            rows.append([party.name, f"`{method}`", saw, *cells])
    return markdown(["Party", "Arm", "Saw", *defences], rows)


def _saw(of: Mapping[str, Attacked], party: Party) -> str:
    """Bytes of a run's adapters, a mean over seeds and defences; what is taken with the device needs none."""
    if not party.bytes_key:
        return "one adapter"
    runs = [run for one in of.values() for run in one.group.runs]
    rounds = [[getattr(row, party.bytes_key) for row in run.info.aggregation] for run in runs]
    told = [float(sum(row)) for row in rounds if row and None not in row]
    return bytes_text(sum(told) / len(told)) if told else MISSING


def _sent(of: Mapping[str, Attacked]) -> str:
    """Bytes of a run's words to the cloud while serving, a mean over seeds and defences."""
    runs = [traffic(run) for one in of.values() for run in one.group.runs]
    told = [run[_WORDS_UP] or 0 for run in runs]
    return bytes_text(sum(told) / len(told))
