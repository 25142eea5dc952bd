"""The comparisons as tables for the page, and as lines for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.comparison.differences import ShopDifference, Verdict
from ecc_fed.reporting.comparison.findings import Findings
from ecc_fed.reporting.comparison.methods import EXACT, MethodFigures
from ecc_fed.reporting.comparison.pareto import COSTS
from ecc_fed.reporting.comparison.recovery import days_label
from ecc_fed.reporting.comparison.traits import LEAST_SHOPS
from ecc_fed.reporting.comparison.worlds import FACTS, OUTCOMES
from ecc_fed.reporting.formatting import MISSING, bytes_text, clear, interval_text, number_text
from ecc_fed.reporting.measures import Measure
from ecc_fed.reporting.page.cells import Cell, PageTable, difference_cell, estimate_cell

_RHO = Measure("spearman", "Rank correlation", "score", lambda row: None, None)
_SHARE = FACTS


def verdict_table(findings: Findings) -> PageTable:
    """A line for every arm and outcome: the difference over all shops, and the verdict shop by shop."""
    rows = [
        (
            Cell(f"{verdict.group.label} − {verdict.baseline.arm}"),
            Cell(verdict.measure.label),
            difference_cell(verdict.overall, verdict.measure),
            *_count_cells(verdict),
            Cell(str(len(verdict.shops))),
        )
        for verdict in findings.verdicts
    ]
    return PageTable(("Difference", "Measure", "All shops", "Helped", "Hurt", "Undecided", "Shops"), tuple(rows))


def _count_cells(verdict: Verdict) -> list[Cell]:
    counts = verdict.counts
    return [
        Cell(str(counts["helped"]), tone="good" if counts["helped"] else ""),
        Cell(str(counts["hurt"]), tone="bad" if counts["hurt"] else ""),
        Cell(str(counts["undecided"])),
    ]


def verdict_row(findings: Findings) -> tuple[str, dict[str, str]] | None:
    """A line of the terminal's table, by group; None where there is nobody to compare with."""
    found = findings.of_outcome()
    if not found:
        return None
    texts = {verdict.group.label: verdict.text.replace(", ", ",\n") for verdict in found}
    return f"Against {findings.baseline}", texts


def gains_table(findings: Findings) -> PageTable:
    """A line for every arm and shop: by how much evolution changed each outcome there; an arm alone is not named."""
    measures = [m for m in OUTCOMES if any(gain.measure == m for gain in findings.gains)]
    lines: dict[tuple[str, str], dict[str, ShopDifference]] = {}
    for gain in findings.gains:
        for shop in gain.shops:
            line = lines.setdefault((gain.group.label, gain.world.shop_label(shop.shop)), {})
            line[gain.measure.name] = shop
    rows = [
        (Cell(label), Cell(shop), *[_gain_cell(of.get(m.name), m) for m in measures])
        for (label, shop), of in lines.items()
    ]
    columns = ("Arm", "Shop", *[measure.label for measure in measures])
    if len({label for label, _ in lines}) == 1:
        return PageTable(columns[1:], tuple(row[1:] for row in rows))
    return PageTable(columns, tuple(rows))


def _gain_cell(shop: ShopDifference | None, measure: Measure) -> Cell:
    """Coloured where the shop counts as helped or hurt, which too few dialogues that differ do not tell."""
    tone = "" if shop is None else {"helped": "good", "hurt": "bad", "undecided": ""}[shop.effect]
    return difference_cell(None if shop is None else shop.estimate, measure)._replace(tone=tone)


def traits_table(findings: Findings) -> PageTable:
    """Rank correlations of the differences with traits of the shops, by the outcome that figures show."""
    rows = [
        (
            Cell(f"{one.label} − {one.baseline}"),
            Cell(one.trait.label),
            _correlation_cell(one.correlation, len({point.value for point in one.points}), one.shops),
            Cell(str(one.shops)),
        )
        for one in findings.associations
        if one.measure == findings.outcome
    ]
    return PageTable(("Difference", "By", "Rank correlation", "Shops"), tuple(rows))


def _correlation_cell(estimate: Estimate | None, values: int, shops: int) -> Cell:
    if estimate is not None:
        cell = estimate_cell(estimate, _RHO)
        return cell._replace(tone="good" if estimate.mean > 0 else "bad") if clear(estimate) else cell
    if values < 2:
        return Cell(MISSING, "the same in all shops")
    return Cell(MISSING, f"fewer than {LEAST_SHOPS} shops" if shops < LEAST_SHOPS else "no difference varies")


def pareto_table(findings: Findings) -> PageTable:
    """Quality and costs of every arm by the outcome that figures show; what nobody beats is marked."""
    rows = []
    for _, measure, places in findings.places:
        for place in places if measure == findings.outcome else ():
            costs = [
                Cell(cost.show(place.costs[cost.name]), "on the front" if cost.name in place.front else "")
                for cost in COSTS
            ]
            unbeaten = Cell("yes" if place.unbeaten else "no", tone="good" if place.unbeaten else "")
            rows.append((Cell(place.group.label), estimate_cell(place.quality, measure), *costs, unbeaten))
    label = "" if findings.outcome is None else findings.outcome.label
    return PageTable(("Arm", label, *[cost.label for cost in COSTS], "Unbeaten in all"), tuple(rows))


def drift_table(findings: Findings) -> PageTable:
    """Facts by the days since they changed."""
    rows = [
        (
            Cell(one.group.label),
            Cell(days_label(one.days)),
            estimate_cell(one.right, _SHARE),
            estimate_cell(one.outdated, _SHARE),
            Cell(f"{100 * one.taught:.0f}%"),
            Cell(f"{one.right.n:,}"),
        )
        for one in findings.drift
    ]
    columns = ("Arm", "Since the change", "Right", "Another value stated", "Taught", "Facts")
    return PageTable(columns, tuple(rows))


def methods_table(findings: Findings) -> PageTable:
    """Every way to aggregate: its error, its ranks, and its bytes."""
    return PageTable(
        (
            "Arm",
            "Method",
            "Error, mean",
            "Error, last round",
            "Exact",
            "Rank",
            "Ranks of shops",
            "Up a round",
            "Down",
            "Server, s",
        ),
        tuple(_method_row(one) for one in findings.methods),
    )


def _method_row(one: MethodFigures) -> tuple[Cell, ...]:
    exact = MISSING if one.exact is None else "yes" if one.exact else "no"
    ranks = MISSING if one.ranks is None else "–".join(dict.fromkeys(map(str, one.ranks)))
    return (
        Cell(one.group.label),
        Cell(one.method or MISSING),
        *[Cell(_error_text(error)) for error in (one.mean, one.last)],
        Cell(exact),
        Cell(number_text(one.rank)),
        Cell(ranks),
        Cell(bytes_text(one.bytes_up)),
        Cell(bytes_text(one.bytes_down)),
        Cell(MISSING if one.server_seconds is None else f"{one.server_seconds:.2f}"),
    )


def _error_text(error: float | None) -> str:
    if error is None:
        return MISSING
    return f"{error:.3f}" if error >= 0.001 else f"below {EXACT:g}" if error < EXACT else f"{error:.1e}"


def interval_note(verdicts: Sequence[Verdict]) -> str:
    """What the intervals over all shops rest on; empty without any."""
    drawn = dict.fromkeys(
        f"{verdict.overall.shops:,} shops and {verdict.overall.dialogues:,} dialogues in them"
        if verdict.overall.shops is not None
        else f"{verdict.overall.dialogues:,} dialogues"
        for verdict in verdicts
        if verdict.overall is not None and interval_text(verdict.overall, verdict.measure.unit)
    )
    return "; ".join(drawn)
