"""Where the two phases of a run do not cover the same test replies: a mean over one is none over the other."""

from collections.abc import Callable, Collection

from ecc_fed.core.rows import SampleRow
from ecc_fed.reporting.run import Run

Place = tuple[str, str]


def unlike_phases(run: Run) -> list[str]:
    """A sentence for test replies that one phase lacks, and one for those that were judged in one phase only."""
    base, final = run.rows("base"), run.rows("final")
    if not base or not final:
        return []
    notes = []
    before, after = (_places(rows, lambda row: True) for rows in (base, final))
    if before != after:
        notes.append(_sentence("test replies", before, after))
    judged_before, judged_after = (_places(rows, lambda row: row.final_score is not None) for rows in (base, final))
    if judged_before & after != judged_after & before:
        notes.append(_sentence("judged test replies", judged_before, judged_after))
    return notes


def _places(rows: Collection[SampleRow], wanted: Callable[[SampleRow], bool]) -> set[Place]:
    return {(row.shop_id, row.pair_id) for row in rows if wanted(row)}


def _sentence(what: str, before: set[Place], after: set[Place]) -> str:
    def told(places: set[Place]) -> str:
        return f"{len(places):,} from {len({shop_id for shop_id, _ in places}):,} shops"

    return (
        f"before and after cover unlike {what}: {told(before)} before, {told(after)} after. "
        f"The paired difference takes the {len(before & after):,} of both."
    )
