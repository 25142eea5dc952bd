"""What the page's comparison holds: tables, figures, and the words between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

from ecc_fed.core.outside_text import visible
from ecc_fed.reporting.comparison import tables
from ecc_fed.reporting.comparison.differences import LEAST_DIFFERING
from ecc_fed.reporting.comparison.figures.matrix import MAX_SHOPS, heat_map
from ecc_fed.reporting.comparison.figures.over_time import drift, method_errors, recovery
from ecc_fed.reporting.comparison.figures.pareto import fronts
from ecc_fed.reporting.comparison.figures.traits import scatter
from ecc_fed.reporting.comparison.figures.verdicts import forest
from ecc_fed.reporting.comparison.findings import Findings
from ecc_fed.reporting.comparison.traits import TRAITS


def context(findings: Findings) -> Mapping[str, Any]:
    """The template's names for it."""
    outcome = findings.outcome
    return {
        "baseline": findings.baseline,
        "outcome": "" if outcome is None else outcome.label,
        "least_differing": LEAST_DIFFERING,
        "max_shops": MAX_SHOPS,
        "drawn": tables.interval_note(findings.of_outcome()),
        "verdicts": tables.verdict_table(findings),
        "traits": tables.traits_table(findings),
        "pareto": tables.pareto_table(findings),
        "drift": tables.drift_table(findings),
        "methods": tables.methods_table(findings),
        # Our own drawings: matplotlib escapes the texts in them.
        "plots": {
            name: [Markup(visible(svg)) for svg in drawn if svg is not None] for name, drawn in _plots(findings).items()
        },
    }


def _plots(findings: Findings) -> dict[str, Iterable[str | None]]:
    outcome = findings.outcome
    if outcome is None:
        return dict.fromkeys(("matrix", "verdicts", "traits", "pareto", "recovery", "drift", "methods"), ())
    numbered = list(enumerate(findings.matrices))
    associations = [one for one in findings.associations if one.measure == outcome]
    baselines = list(dict.fromkeys(one.baseline for one in associations))
    return {
        "matrix": [
            heat_map(matrix, measure, number) for number, matrix in numbered for measure in matrix.world.outcomes[:2]
        ],
        "verdicts": [
            forest(findings.of_outcome(world), f"verdicts-{number}", f"difference to {findings.baseline}")
            for number, world in enumerate(findings.worlds)
        ],
        "traits": [
            scatter([one for one in associations if one.trait is trait and one.baseline == baseline], number)
            for number, baseline in enumerate(baselines)
            for trait in TRAITS
        ],
        "pareto": [
            fronts(world, measure, places, number)
            for number, (world, measure, places) in enumerate(findings.places)
            if measure == outcome
        ],
        "recovery": [recovery(findings.rounds)],
        "drift": [drift(findings.drift)],
        "methods": [method_errors(findings.methods)],
    }
