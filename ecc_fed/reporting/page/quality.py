"""What evolution does to facts, voice, likelihood, and to what the judge says of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ecc_fed.core.rows import AggregationRow
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import weighted_mean
from ecc_fed.reporting.counts import kneser_ney
from ecc_fed.reporting.formatting import MISSING, count_text, number_text, value_text
from ecc_fed.reporting.measures import BY_NAME
from ecc_fed.reporting.page.cells import Cell, PageTable, estimate_cell, measured
from ecc_fed.reporting.study import Group, Study
from ecc_fed.reporting.summary import judge_fact_correlation
from ecc_fed.reporting.units import seeded


def facts_and_voice(study: Study) -> PageTable:
    """What every arm does to facts and voice, with the last round's averaging error where there is one."""
    names = (
        "fact_accuracy", "unseen_fact_accuracy", "platform_fact_accuracy", "other_shop_share", "chrf", "verbatim_share",
    )  # fmt: skip
    measures = [measure for measure in measured(study) if measure.name in names]
    rows = []
    for part in study.variants:
        first = part.groups[0]
        label = f"before ({first.variant_label})" if first.variant_label else "before"
        rows.append((Cell(label), *[estimate_cell(first.base[m.name], m) for m in measures], Cell(MISSING)))
    for group in study.groups:
        errors = [_last_error(run.info.aggregation) for run in group.runs]
        error = weighted_mean(errors)
        rows.append(
            (Cell(group.label), *[estimate_cell(group.final[m.name], m) for m in measures], Cell(number_text(error)))
        )
    columns = ("Arm", *[measure.label for measure in measures], "A·B averaging error")
    if all(row[-1].text == MISSING for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return PageTable(columns, tuple(rows))


def _last_error(aggregation: Sequence[AggregationRow]) -> float | None:
    errors = [row.relative_error for row in aggregation if row.relative_error is not None]
    return errors[-1] if errors else None


def platform_shares(study: Study) -> PageTable | None:
    """Facts of the two kinds by `platform_share`, side by side; None where it was not swept."""
    shares = sorted({run.info.platform_share for run in study.runs if run.info.platform_share is not None})
    if len(shares) < 2:
        return None
    measures = [BY_NAME["fact_accuracy"], BY_NAME["platform_fact_accuracy"], BY_NAME["other_shop_share"]]
    # Groups that differ in nothing but the share stand in one line.
    lines: dict[str, dict[float, Group]] = {}
    for group in study.groups:
        share = group.runs[0].info.platform_share
        others = [f"{name}={value}" for name, value in group.variant if name != "platform_share"]
        if share is not None:
            lines.setdefault(" ".join([group.arm, *others]), {})[share] = group
    rows = [
        (
            Cell(label),
            *[
                estimate_cell(of[share].final[measure.name], measure) if share in of else Cell(MISSING)
                for measure in measures
                for share in shares
            ],
        )
        for label, of in lines.items()
    ]
    titles = [f"{measure.label}, share {share:g}" for measure in measures for share in shares]
    return PageTable(("Arm", *titles), tuple(rows))


def perplexities(study: Study) -> PageTable | None:
    """Perplexity per character before and after, beside a Kneser-Ney character model's."""
    measure = BY_NAME["perplexity"]
    if measure not in measured(study):
        return None
    rows = []
    for group in study.groups:
        found = [of["mean"] for run in group.runs if (of := kneser_ney(run)) is not None]
        # Perplexities average by their logarithms.
        mean = math.exp(sum(map(math.log, found)) / len(found)) if found else None
        rows.append(
            (
                Cell(group.label),
                estimate_cell(group.base["perplexity"], measure),
                estimate_cell(group.final["perplexity"], measure),
                Cell(value_text(mean, "perplexity")),
            )
        )
    return PageTable(("Arm", "Before", "After", "Kneser-Ney, characters"), tuple(rows))


def correlations(study: Study) -> PageTable | None:
    """The judge's final score against the judge-free facts, over queries; None for a corpus without facts."""
    rows = []
    for group in study.groups:
        before, after = seeded(group.rows("base")), seeded(group.rows("final"))
        found = [
            judge_fact_correlation(queries, derive_seed(0, "report", group.key, "correlation", name))
            for name, queries in (("before", before), ("after", after), ("both", before + after))
        ]
        if any(of is not None for of in found):
            rho = Cell(MISSING if found[1] is None else f"{found[1]['spearman']:.2f}")
            count = Cell(count_text(None if found[1] is None else found[1]["queries"]))
            rows.append((Cell(group.label), *[_correlation(of) for of in found], rho, count))
    columns = ("Arm", "r before", "r after", "r before and after", "Spearman ρ after", "Queries after")
    return PageTable(columns, tuple(rows)) if rows else None


def _correlation(found: Mapping[str, Any] | None) -> Cell:
    if found is None:
        return Cell(MISSING)
    interval = found["ci95"]
    return Cell(f"{found['pearson']:.2f}", "" if interval is None else f"[{interval[0]:.2f}, {interval[1]:.2f}]")
