"""What was found, in words: every arm beside the base that it began with, the copy, and the baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecc_fed.core.rows import SampleRow
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate, bootstrap_ratio_differences, bootstrap_ratios
from ecc_fed.reporting.comparison.differences import paired_keys
from ecc_fed.reporting.comparison.worlds import World
from ecc_fed.reporting.formatting import clear, difference_text, estimate_text
from ecc_fed.reporting.measures import Measure
from ecc_fed.reporting.study import Group
from ecc_fed.reporting.units import QueryKey, seeded, units_of

if TYPE_CHECKING:
    from ecc_fed.reporting.comparison.findings import Findings

# Whoever trains is asked whether it beats this.
COPY = "retrieval"
# Of what a reader of several arms has to know of each.
ARMS: Mapping[str, str] = {
    "none": "the bare base; nothing is learned",
    "retrieval": "each shop copies the answer of its nearest own example; nothing is trained",
    "base_with_examples": "the bare base with the shop's nearest own examples in its prompt",
    "local": "each shop fine-tunes its own adapter; no server",
    "local_with_examples": "as local, with the nearest own examples in the prompt",
    "aggregated": "after each round a server makes one of the shops' adapters and sends it back",
    "personalized": "aggregated, then each shop finishes by itself",
    "distilled": "shops teach each other by replies to public queries; no adapter travels",
    "centralized": "all shops' dialogues on one device: a ceiling without privacy",
    "cloud": "the teacher answers every query: a ceiling of cost",
}


@dataclass(frozen=True)
class Sentence:
    """What is said of an arm in a world; `telling`: it is clearly above or below the baseline."""

    group: Group
    text: str
    telling: bool


def sentences(findings: Findings) -> list[Sentence]:
    """A sentence an arm, world by world, by the outcome that figures show; none where nothing was tested."""
    measure = findings.outcome
    if measure is None:
        return []
    several = len(findings.worlds) > 1
    found = []
    for world in findings.worlds:
        verdicts = {verdict.group.label: verdict for verdict in findings.of_outcome(world)}
        for group in world.groups:
            value = _value(group, measure)
            if value is None:
                continue
            where = f"{world.label or 'elsewhere'}, " if several else ""
            parts = [f"{where}{group.method_label}: {estimate_text(value, measure)} {measure.label.lower()}"]
            if group.evolves and (gain := _difference(group.rows("final"), group.rows("base"), measure, group.label)):
                parts.append(f"{difference_text(gain, measure)} over the base")
            copy = _to_the_copy(findings, world, group, measure)
            if copy is not None:
                parts.append(_compared("copying", copy, measure))
            verdict = verdicts.get(group.label)
            telling = verdict is not None and clear(verdict.overall)
            if verdict is not None and verdict.overall is not None and verdict.baseline.arm != COPY:
                parts.append(_compared(verdict.baseline.arm, verdict.overall, measure))
            if verdict is not None:
                parts.append(f"shops: {verdict.text}")
            found.append(Sentence(group, "; ".join(parts) + ".", telling))
    return found


def arm_lines(findings: Findings) -> list[str]:
    """What each arm of the study is, of those that come with the program, and what the sentences mean."""
    arms = dict.fromkeys(group.arm for group in findings.study.groups)
    told = [f"{arm}: {ARMS[arm]}" for arm in arms if arm in ARMS]
    return [*told, "differences are paired by question, with 95% intervals; level: zero lies within"]


def _to_the_copy(findings: Findings, world: World, group: Group, measure: Measure) -> Estimate | None:
    other = findings.study.baseline(COPY, group)
    if other is None or other.label not in world.finals or group.arm == COPY:
        return None
    return _difference(world.finals[group.label], world.finals[other.label], measure, group.label, COPY)


def _compared(name: str, difference: Estimate, measure: Measure) -> str:
    word = "level with" if not clear(difference) else "above" if difference.mean > 0 else "below"
    return f"{word} {name} ({difference_text(difference, measure)})"


def _value(group: Group, measure: Measure) -> Estimate | None:
    known = {key: row for key, row in group.rows("final").items() if measure.fraction(row) is not None}
    if not known:
        return None
    above, below = _columns(known, measure)
    seed = derive_seed(0, "report", group.key, "sentence")
    return bootstrap_ratios(above, below, units_of(seeded(known)), seed)[0]


def _difference(
    own: Mapping[QueryKey, SampleRow], other: Mapping[QueryKey, SampleRow], measure: Measure, *names: str
) -> Estimate | None:
    """Paired by question, over those that have the outcome on both sides."""
    both = {
        key: own[key]
        for key in paired_keys(own, other)
        if measure.fraction(own[key]) is not None and measure.fraction(other[key]) is not None
    }
    if not both:
        return None
    seed = derive_seed(0, "report", *names, "sentence")
    left, right = _columns(both, measure), _columns({key: other[key] for key in both}, measure)
    return bootstrap_ratio_differences(left, right, units_of(seeded(both)), seed)[0]


def _columns(rows: Mapping[QueryKey, SampleRow], measure: Measure) -> tuple[np.ndarray, np.ndarray]:
    parts = np.array([measure.fraction(row) for row in rows.values()], dtype=np.float64)
    return parts[:, :1], parts[:, 1:]
