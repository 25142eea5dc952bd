"""What the runs took, what protected them, and what failed."""

from collections.abc import Mapping
from typing import Any

from ecc_fed.core.rows import encode
from ecc_fed.core.statistics import weighted_mean
from ecc_fed.reporting.formatting import MISSING, bytes_text, count_text, number_text
from ecc_fed.reporting.page.cells import Cell, PageTable
from ecc_fed.reporting.study import Study
from ecc_fed.reporting.tables.rows import flows


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


# Told by hosts: under Flower's own engines there are none, and nothing is known of them.
_BY_HOSTS = {"shops_per_batch", "base_loads", "peak_rss_bytes", "peak_gpu_bytes"}


def runtime(study: Study) -> PageTable:
    """What the runs took, means over seeds."""
    rows = []
    for group in study.groups:
        figures = []
        for key, (_, show) in _RUNTIME.items():
            told = [run.info.runtime for run in group.runs if run.info.runtime.hosts or key not in _BY_HOSTS]
            numbers = [getattr(of_run, key) for of_run in told]
            figures.append(Cell(show(weighted_mean(numbers))))
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


def flagged(study: Study) -> PageTable:
    """The updates that stood out by their size, which counted all the same."""
    rows = [
        (
            Cell(group.label),
            Cell(str(run.seed)),
            Cell(row.shop_id),
            Cell(str(row.server_round)),
            Cell(", ".join(row.flags)),
            Cell(MISSING if row.norm_ratio is None else f"{row.norm_ratio:.3g}"),
        )
        for group in study.groups
        for run in group.runs
        for row in run.flagged
    ]
    return PageTable(("Arm", "Seed", "Shop", "Round", "Flags", "Norm / median"), tuple(rows))


def failed_runs(study: Study) -> PageTable:
    """The runs that failed as a whole, and so are in no other table."""
    rows = [(Cell(each.name), Cell(each.kind), Cell(each.error)) for each in study.failed]
    return PageTable(("Run", "Kind", "Error"), tuple(rows))


def failures(study: Study) -> PageTable:
    """Everything that went wrong in a run that was finished, with its reason."""
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
