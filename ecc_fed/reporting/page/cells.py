"""The page's tables as plain cells, for it to lay out."""

from dataclasses import dataclass
from typing import NamedTuple

from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.formatting import clear, difference_text, interval_text, value_text
from ecc_fed.reporting.measures import MEASURES, Measure
from ecc_fed.reporting.study import Study


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


def split_cell(text: str) -> Cell:
    """A text whose interval follows a line break, as a cell."""
    main, _, sub = text.partition("\n")
    return Cell(main, sub)


def estimate_cell(estimate: Estimate | None, measure: Measure) -> Cell:
    """A figure with its interval."""
    mean = None if estimate is None else estimate.mean
    return Cell(value_text(mean, measure.unit), interval_text(estimate, measure.unit))


def difference_cell(estimate: Estimate | None, measure: Measure) -> Cell:
    """A difference with its interval, good or bad news where that leaves zero out."""
    cell = split_cell(difference_text(estimate, measure, "\n"))
    if estimate is None or measure.better is None or not clear(estimate):
        return cell
    return cell._replace(tone="good" if (estimate.mean > 0) == (measure.better == "higher") else "bad")


def measured(study: Study) -> list[Measure]:
    """Measures that apply to some query of some arm."""
    return [m for m in MEASURES if any(group.final[m.name] or group.base[m.name] for group in study.groups)]
