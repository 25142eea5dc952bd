"""The comparisons as CSV, one file each, in long form."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.comparison.differences import EFFECTS
from ecc_fed.reporting.comparison.findings import Findings
from ecc_fed.reporting.comparison.pareto import COSTS
from ecc_fed.reporting.comparison.recovery import days_label
from ecc_fed.reporting.comparison.worlds import OUTCOMES, ShopKey, World
from ecc_fed.reporting.study import Group, settings_text
from ecc_fed.reporting.tables.export import text_cell

Line = Sequence[object]
_ARM = ("arm", "variant")
_INTERVAL = ("ci95_low", "ci95_high")
_SHOP = ("seed", "shop", "training_pairs", "unlikeness")
_DIFFERENCE = ("measure", "difference", *_INTERVAL)
_AGGREGATION = ("relative_error", "rank", "least_rank", "most_rank", "bytes_up", "bytes_down", "server_seconds")


def csv_files(findings: Findings) -> dict[str, str]:
    """File name -> CSV; a comparison without any row has no file."""
    costs = [cost.name for cost in COSTS]
    tables: dict[str, tuple[Sequence[str], Iterable[Line]]] = {
        "shops.csv": ((*_ARM, *_SHOP, "measure", "mean", *_INTERVAL, "queries", "dialogues"), _shops(findings)),
        "differences.csv": (
            (*_ARM, "baseline", *_SHOP, *_DIFFERENCE, "queries", "dialogues", "differing", "effect"),
            _differences(findings),
        ),
        "gains.csv": (
            (*_ARM, *_SHOP, *_DIFFERENCE, "queries", "dialogues", "differing", "effect"),
            _gains(findings),
        ),
        "verdicts.csv": (
            (*_ARM, "baseline", "baseline_variant", *_DIFFERENCE, "queries", "unpaired", "shops", *EFFECTS),
            _verdicts(findings),
        ),
        "traits.csv": (
            ("arm", "baseline", "measure", "trait", "spearman", *_INTERVAL, "points", "shops"),
            _traits(findings),
        ),
        "pareto.csv": (
            (*_ARM, "measure", "quality", *_INTERVAL, *costs, *[f"on_front_{cost}" for cost in costs], "unbeaten"),
            _pareto(findings),
        ),
        "rounds.csv": (
            (*_ARM, "server_round", "figure", "mean", *_INTERVAL, "queries"),
            _rounds(findings),
        ),
        "drift.csv": (
            (*_ARM, "days", "right", *_INTERVAL, "outdated", "outdated_low", "outdated_high", "taught", "facts"),
            _drift(findings),
        ),
        "methods.csv": ((*_ARM, "method", "seed", "server_round", *_AGGREGATION), _methods(findings)),
    }
    return {name: text for name, (columns, lines) in tables.items() if (text := _csv(columns, lines))}


def _csv(columns: Sequence[str], lines: Iterable[Line]) -> str:
    """The file; empty without a line."""
    body = list(lines)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([columns, *[[_cell(value) for value in line] for line in body]])
    return out.getvalue() if body else ""


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return text_cell(value) if isinstance(value, str) else value


def _arm(group: Group) -> Line:
    return group.arm, settings_text(group.variant)


def _figure(estimate: Estimate | None) -> Line:
    return (None, None, None) if estimate is None else (estimate.mean, estimate.low, estimate.high)


def _shop(world: World, shop: ShopKey) -> Line:
    profile = world.profiles.get(shop)
    traits = (None, None) if profile is None else (profile.training_pairs, profile.unlikeness)
    return "all" if shop.seed is None else shop.seed, shop.shop_id, *traits


def _shops(findings: Findings) -> Iterable[Line]:
    for matrix in findings.matrices:
        for group in matrix.world.groups:
            for shop in matrix.world.queries:
                for measure in OUTCOMES:
                    cell = matrix.cell(shop, group.label, measure)
                    if cell is not None:
                        where = (*_arm(group), *_shop(matrix.world, shop))
                        yield *where, measure.name, *_figure(cell), cell.n, cell.dialogues


def _differences(findings: Findings) -> Iterable[Line]:
    for verdict in findings.verdicts:
        for one in verdict.shops:
            where = (*_arm(verdict.group), verdict.baseline.arm, *_shop(verdict.world, one.shop), verdict.measure.name)
            yield *where, *_figure(one.estimate), one.estimate.n, one.estimate.dialogues, one.differing, one.effect


def _gains(findings: Findings) -> Iterable[Line]:
    for gain in findings.gains:
        for one in gain.shops:
            where = (*_arm(gain.group), *_shop(gain.world, one.shop), gain.measure.name)
            yield *where, *_figure(one.estimate), one.estimate.n, one.estimate.dialogues, one.differing, one.effect


def _verdicts(findings: Findings) -> Iterable[Line]:
    for verdict in findings.verdicts:
        overall = verdict.overall
        where = (*_arm(verdict.group), *_arm(verdict.baseline), verdict.measure.name)
        queries = (0 if overall is None else overall.n, verdict.unpaired)
        effects = [verdict.counts[effect] for effect in EFFECTS]
        yield *where, *_figure(overall), *queries, len(verdict.shops), *effects


def _traits(findings: Findings) -> Iterable[Line]:
    for one in findings.associations:
        where = (one.label, one.baseline, one.measure.name, one.trait.name)
        yield *where, *_figure(one.correlation), len(one.points), one.shops


def _pareto(findings: Findings) -> Iterable[Line]:
    for _, measure, found in findings.places:
        for place in found:
            on_front = [cost.name in place.front for cost in COSTS]
            costs = [place.costs[cost.name] for cost in COSTS]
            yield *_arm(place.group), measure.name, *_figure(place.quality), *costs, *on_front, place.unbeaten


def _rounds(findings: Findings) -> Iterable[Line]:
    for one in findings.rounds:
        figures = {
            "facts_right": one.right,
            "changed_facts_right": one.changed,
            "content_customers": one.content,
            "pseudo_labels_per_query": one.labels,
        }
        for name, estimate in figures.items():
            if estimate is not None:
                yield *_arm(one.group), one.server_round, name, *_figure(estimate), estimate.n


def _drift(findings: Findings) -> Iterable[Line]:
    for one in findings.drift:
        figures = (*_figure(one.right), *_figure(one.outdated), one.taught, one.right.n)
        yield *_arm(one.group), days_label(one.days), *figures


def _methods(findings: Findings) -> Iterable[Line]:
    for one in findings.methods:
        for run in one.group.runs:
            for row in run.info.aggregation:
                ranks = list(row.ranks.values())
                bounds = (min(ranks), max(ranks)) if ranks else (None, None)
                where = (*_arm(one.group), one.method, run.seed, row.server_round)
                yield *where, row.relative_error, row.rank, *bounds, row.bytes_up, row.bytes_down, row.server_seconds
