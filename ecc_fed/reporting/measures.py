"""What is measured on a test query, and its means, intervals and paired differences.

Every measure gives a query a numerator and a denominator, or nothing where it does not apply; its
mean over queries is sum / sum (for a perplexity: exp of it).

| measure | numerator / denominator | applies to |
|---|---|---|
| final_score, similarity, relevance | value / 1 | queries with a cloud reply |
| fact_accuracy | all such facts right / 1 | queries with shop facts whose value occurred in training |
| unseen_fact_accuracy | the same | queries with shop facts that never occurred in training |
| platform_fact_accuracy | the same | queries with facts that hold in every shop |
| chrf | value / 1 | all |
| perplexity | nats / characters of the human reply | queries with a likelihood |
| verbatim_share | reply is one of the shop's training replies / 1 | all |
| other_shop_share | states another shop's value / wrong on a shop fact | queries with shop facts |
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ecc_fed.core.rows import FactRow, SampleRow
from ecc_fed.core.statistics import Estimate, Values, bootstrap_ratio_differences, bootstrap_ratios
from ecc_fed.reporting.units import QueryKey, SeededRow, seeded, units_of

Fraction = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Measure:
    """A name, how to show it, its fraction for a query, and which way is good (None: neither)."""

    name: str
    label: str
    unit: Literal["score", "share", "chrf", "perplexity"]
    fraction: Callable[[SampleRow], Fraction | None]
    better: Literal["higher", "lower"] | None = "higher"


def _value(value: float | None) -> Fraction | None:
    return None if value is None else (float(value), 1.0)


def _facts_right(row: SampleRow, wanted: Callable[[FactRow], bool]) -> Fraction | None:
    facts = [fact for fact in row.facts if wanted(fact)]
    return (float(all(fact.right for fact in facts)), 1.0) if facts else None


def _perplexity(row: SampleRow) -> Fraction | None:
    return None if row.nll_nats is None or not row.characters else (row.nll_nats, float(row.characters))


def _other_shop(row: SampleRow) -> Fraction | None:
    shop_facts = [fact for fact in row.facts if fact.scope == "shop"]
    if not shop_facts:
        return None
    wrong = [fact for fact in shop_facts if not fact.right]
    return float(any(fact.other_shop for fact in wrong)), float(bool(wrong))


MEASURES = (
    Measure("final_score", "Final score", "score", lambda row: _value(row.final_score)),
    Measure("similarity", "Similarity", "score", lambda row: _value(row.similarity)),
    Measure("relevance", "Relevance", "score", lambda row: _value(row.relevance)),
    Measure(
        "fact_accuracy",
        "Shop facts right",
        "share",
        lambda row: _facts_right(row, lambda f: f.scope == "shop" and f.seen),
    ),
    Measure(
        "unseen_fact_accuracy",
        "Unseen shop facts right",
        "share",
        lambda row: _facts_right(row, lambda f: f.scope == "shop" and not f.seen),
    ),
    Measure(
        "platform_fact_accuracy",
        "Platform facts right",
        "share",
        lambda row: _facts_right(row, lambda f: f.scope == "platform"),
    ),
    Measure("chrf", "chrF", "chrf", lambda row: _value(row.chrf)),
    Measure("perplexity", "Perplexity per character", "perplexity", _perplexity, "lower"),
    Measure("verbatim_share", "Verbatim training replies", "share", lambda row: _value(row.verbatim), None),
    Measure("other_shop_share", "Wrong with another shop's value", "share", _other_shop, "lower"),
)
BY_NAME = {measure.name: measure for measure in MEASURES}
_EXPONENTIALS = np.array([measure.unit == "perplexity" for measure in MEASURES])


def all_right(row: SampleRow) -> bool | None:
    """Whether every fact of the query, of either scope, is right; None for a query without facts."""
    return all(fact.right for fact in row.facts) if row.facts else None


def _fractions(rows: Sequence[SampleRow]) -> tuple[Values, Values]:
    """Numerators and denominators, each (queries, measures); NaN where a measure does not apply."""
    cells = [[measure.fraction(row) or (math.nan, math.nan) for measure in MEASURES] for row in rows]
    array = np.array(cells, dtype=np.float64).reshape(len(rows), len(MEASURES), 2)
    return array[:, :, 0], array[:, :, 1]


def _shown(estimate: Estimate | None, measure: Measure) -> Estimate | None:
    if estimate is None or measure.unit != "perplexity":
        return estimate
    low, high = (None if bound is None else math.exp(bound) for bound in (estimate.low, estimate.high))
    return replace(estimate, mean=math.exp(estimate.mean), low=low, high=high)


def estimate_all(rows: Sequence[SeededRow], seed: int) -> dict[str, Estimate | None]:
    """Every measure's mean over the rows with its 95% interval; None where it applies to no query."""
    above, below = (np.nan_to_num(part) for part in _fractions([row for _, row in rows]))
    estimates = bootstrap_ratios(above, below, units_of(rows), seed)
    return {m.name: _shown(estimate, m) for m, estimate in zip(MEASURES, estimates, strict=True)}


def means(rows: Sequence[SampleRow]) -> dict[str, float | None]:
    """Every measure's mean without an interval."""
    above, below = (np.nan_to_num(part).sum(axis=0) for part in _fractions(rows))
    ratios = [float(a / b) if b > 0 else None for a, b in zip(above, below, strict=True)]
    return {
        m.name: math.exp(ratio) if ratio is not None and m.unit == "perplexity" else ratio
        for m, ratio in zip(MEASURES, ratios, strict=True)
    }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Paired differences left - right. `unpaired` counts left's queries that right did not get, or got otherwise."""

    differences: Mapping[str, Estimate | None]
    unpaired: int


def compare(left: Mapping[QueryKey, SampleRow], right: Mapping[QueryKey, SampleRow], seed: int) -> Comparison:
    """Every measure's difference left - right over the queries that both sides answered.

    Rows of one key are paired only if query and human reply are the same on both sides: arms that
    saw other worlds are not comparable query by query. A measure takes the queries to which it
    applies on both sides.
    """
    keys = [
        key
        for key, row in left.items()
        if (other := right.get(key)) is not None and (other.query, other.reference) == (row.query, row.reference)
    ]
    sides = [_fractions([side[key] for key in keys]) for side in (left, right)]
    missing = np.isnan(sides[0][0]) | np.isnan(sides[1][0])
    first, second = [tuple(np.where(missing, 0.0, part) for part in side) for side in sides]
    estimates = bootstrap_ratio_differences(
        (first[0], first[1]),
        (second[0], second[1]),
        units_of(seeded({key: left[key] for key in keys})),
        seed,
        exponentials=_EXPONENTIALS,
    )
    names = [measure.name for measure in MEASURES]
    return Comparison(dict(zip(names, estimates, strict=True)), len(left) - len(keys))
