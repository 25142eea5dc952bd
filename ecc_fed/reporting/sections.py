"""The report's tables as plain cells, for the page to lay out."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ecc_fed.core.rows import AggregationRow, encode
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate, weighted_mean
from ecc_fed.reporting.formatting import (
    MISSING,
    bytes_text,
    clear,
    count_text,
    difference_text,
    interval_text,
    number_text,
    value_text,
)
from ecc_fed.reporting.measures import BY_NAME, MEASURES, Comparison, Measure
from ecc_fed.reporting.study import BASELINES, Group, Study
from ecc_fed.reporting.summary import bigram, judge_fact_correlation
from ecc_fed.reporting.tables import ArmRow, flows, seed_table


class Cell(NamedTuple):
    """A cell's text, a smaller line under it, and whether it is "good" or "bad" news."""

    text: str
    sub: str = ""
    tone: str = ""


@dataclass(frozen=True)
class PageTable:
    """Column titles and rows of cells; the first column names the row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def _split(text: str) -> Cell:
    """A text whose interval follows a line break, as a cell."""
    main, _, sub = text.partition("\n")
    return Cell(main, sub)


def _estimate(estimate: Estimate | None, measure: Measure) -> Cell:
    mean = None if estimate is None else estimate.mean
    return Cell(value_text(mean, measure.unit), interval_text(estimate, measure.unit))


def _difference(estimate: Estimate | None, measure: Measure) -> Cell:
    cell = _split(difference_text(estimate, measure, "\n"))
    if estimate is None or measure.better is None or not clear(estimate):
        return cell
    return cell._replace(tone="good" if (estimate.mean > 0) == (measure.better == "higher") else "bad")


def _measured(study: Study) -> list[Measure]:
    """Measures that apply to some query of some arm."""
    return [m for m in MEASURES if any(group.final[m.name] or group.base[m.name] for group in study.groups)]


def arms(rows: Sequence[ArmRow], of: Callable[[ArmRow, str], Mapping[str, str]]) -> PageTable:
    """The table of the arms after evolution, or a part of it; columns without any figure are left out."""
    lines = [{"Arm": row.group.label, **of(row, "\n")} for row in rows]
    columns = [title for title in (lines[0] if lines else {}) if any(line[title] != MISSING for line in lines)]
    return PageTable(tuple(columns), tuple(tuple(_split(line[title]) for title in columns) for line in lines))


def before_and_after(study: Study) -> PageTable:
    """A line for every arm and measure: before, after, and the paired difference; a single arm is not named."""
    measures = _measured(study)
    gains = [(group, group.gain().differences) for group in study.groups]
    rows = [
        (
            Cell(group.label),
            Cell(measure.label),
            _estimate(group.base[measure.name], measure),
            _estimate(group.final[measure.name], measure),
            _difference(differences[measure.name], measure),
            Cell(count_text(0 if (after := group.final[measure.name]) is None else after.n)),
        )
        for group, differences in gains
        for measure in measures
    ]
    columns = ("Arm", "Measure", "Before", "After", "Paired difference", "Queries after")
    if len(study.groups) == 1:
        return PageTable(columns[1:], tuple(row[1:] for row in rows))
    return PageTable(columns, tuple(rows))


def between_arms(study: Study) -> tuple[PageTable, list[str]]:
    """Paired differences of every arm to each baseline, and notes where queries could not be paired."""
    lines: list[tuple[str, Comparison]] = []
    notes = []
    for baseline in BASELINES:
        for group in study.groups:
            other = study.baseline(baseline, group)
            if other is None or (baseline == "local" and group.arm == "none"):
                continue
            title = f"{group.label} − {other.label}"
            if group.variant and group.variant == other.variant:
                title = f"{group.arm} − {other.arm} ({group.variant_label})"
            comparison = group.against(other)
            lines.append((title, comparison))
            if comparison.unpaired:
                notes.append(
                    f"{title}: {comparison.unpaired} queries of {group.label} have no like in {other.label} "
                    "and are left out."
                )
    shown = [measure for measure in _measured(study) if measure.name not in ("perplexity", "verbatim_share")]
    measures = [m for m in shown if any(line.differences[m.name] for _, line in lines)]
    rows = [(Cell(title), *[_difference(line.differences[m.name], m) for m in measures]) for title, line in lines]
    return PageTable(("Difference", *[measure.label for measure in measures]), tuple(rows) if measures else ()), notes


def facts_and_voice(study: Study) -> PageTable:
    """What every arm does to facts and voice, with the last round's averaging error where there is one."""
    names = (
        "fact_accuracy", "unseen_fact_accuracy", "platform_fact_accuracy", "other_shop_share", "chrf", "verbatim_share",
    )  # fmt: skip
    measures = [measure for measure in _measured(study) if measure.name in names]
    rows = []
    for part in study.variants:
        first = part.groups[0]
        label = f"before ({first.variant_label})" if first.variant else "before"
        rows.append((Cell(label), *[_estimate(first.base[m.name], m) for m in measures], Cell(MISSING)))
    for group in study.groups:
        errors = [_last_error(run.info.aggregation) for run in group.runs]
        error = weighted_mean(errors, [1.0] * len(errors))
        rows.append(
            (Cell(group.label), *[_estimate(group.final[m.name], m) for m in measures], Cell(number_text(error)))
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
                _estimate(of[share].final[measure.name], measure) if share in of else Cell(MISSING)
                for measure in measures
                for share in shares
            ],
        )
        for label, of in lines.items()
    ]
    titles = [f"{measure.label}, share {share:g}" for measure in measures for share in shares]
    return PageTable(("Arm", *titles), tuple(rows))


def perplexities(study: Study) -> PageTable | None:
    """Perplexity per character before and after, beside the smoothed character bigram's."""
    measure = BY_NAME["perplexity"]
    if measure not in _measured(study):
        return None
    rows = []
    for group in study.groups:
        found = [of["mean"] for run in group.runs if (of := bigram(run)) is not None]
        # Perplexities average by their logarithms.
        mean = math.exp(sum(map(math.log, found)) / len(found)) if found else None
        rows.append(
            (
                Cell(group.label),
                _estimate(group.base["perplexity"], measure),
                _estimate(group.final["perplexity"], measure),
                Cell(value_text(mean, "perplexity")),
            )
        )
    return PageTable(("Arm", "Before", "After", "Character bigram"), tuple(rows))


def correlations(study: Study) -> PageTable | None:
    """The judge's final score against the judge-free facts, over queries; None for a corpus without facts."""
    rows = []
    for group in study.groups:
        before, after = list(group.rows("base").values()), list(group.rows("final").values())
        found = [
            judge_fact_correlation(queries, derive_seed(0, "report", group.label, "correlation", name))
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
    low, high = found["ci95"]
    return Cell(f"{found['pearson']:.2f}", f"[{low:.2f}, {high:.2f}]")


def seeds(study: Study) -> PageTable | None:
    """A line for every run; None for a single one."""
    lines = seed_table(study) if len(study.runs) > 1 else []
    if not lines:
        return None
    columns = [title for title in lines[0] if any(line[title] != MISSING for line in lines)]
    return PageTable(tuple(columns), tuple(tuple(_split(line[title]) for title in columns) for line in lines))


def traffic(study: Study) -> PageTable | None:
    """Bytes of a run by destination, direction and kind; None without a ledger."""
    by_group = {group.label: flows(group) for group in study.groups}
    kinds = sorted({kind for of in by_group.values() for kind in of})
    if not kinds:
        return None
    rows = [(Cell(kind), *[Cell(bytes_text(of.get(kind))) for of in by_group.values()]) for kind in kinds]
    return PageTable(("Bytes per run", *by_group), tuple(rows))


_RUNTIME = {
    "wall_seconds": ("Wall seconds", number_text),
    "client_steps": ("Training steps", count_text),
    "client_steps_per_second": ("Steps a second", number_text),
    "shops_per_batch": ("Shops side by side", count_text),
    "base_loads": ("Base loads", count_text),
    "peak_rss_bytes": ("Peak memory", bytes_text),
    "peak_gpu_bytes": ("Peak GPU memory", bytes_text),
}


def runtime(study: Study) -> PageTable:
    """What the runs took, means over seeds."""
    rows = []
    for group in study.groups:
        figures = []
        for key, (_, show) in _RUNTIME.items():
            numbers = [getattr(run.info.runtime, key) for run in group.runs]
            figures.append(Cell(show(weighted_mean(numbers, [1.0] * len(numbers)))))
        rows.append((Cell(group.label), *figures))
    return PageTable(("Arm", *[title for title, _ in _RUNTIME.values()]), tuple(rows))


def _leaves(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [leaf for key, item in value.items() for leaf in _leaves(item, f"{prefix}{key}.")]
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    if value is None:
        text = MISSING
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    else:
        text = number_text(value) if isinstance(value, int | float) else str(value)
    return [(prefix.rstrip("."), text)]


def privacy(study: Study) -> PageTable:
    """Defences, what they guarantee, and what attacks got, for every run."""
    several = len(study.runs) > 1
    found = {
        f"{group.label}, seed {run.seed}" if several else group.label: dict(_leaves(encode(run.info.privacy)))
        for group in study.groups
        for run in group.runs
    }
    keys = list(dict.fromkeys(key for of in found.values() for key in of))
    rows = [(Cell(label), *[Cell(of.get(key, MISSING)) for key in keys]) for label, of in found.items()]
    return PageTable(("Run", *keys), tuple(rows) if keys else ())


def failures(study: Study) -> PageTable:
    """Everything that went wrong, with its reason."""
    rows = [
        (
            Cell(group.label),
            Cell(str(run.seed)),
            Cell(failure.shop_id or MISSING),
            Cell(MISSING if failure.server_round is None else str(failure.server_round)),
            Cell(failure.kind),
            Cell(failure.reason),
        )
        for group in study.groups
        for run in group.runs
        for failure in run.info.failures
    ]
    return PageTable(("Arm", "Seed", "Shop", "Round", "Kind", "Reason"), tuple(rows))
