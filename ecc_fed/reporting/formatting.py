"""Numbers as a reader wants them. What is missing is a dash, never a zero."""

import re

from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.measures import Measure

MISSING = "–"


def value_text(value: float | None, unit: str) -> str:
    """One figure in its unit: a share in per cent, a score to three places."""
    if value is None:
        return MISSING
    if unit == "share":
        return f"{100 * value:.1f}%"
    if unit == "chrf":
        return f"{value:.1f}"
    if unit == "perplexity":
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:.3f}"


def _bare(value: float, unit: str) -> str:
    return value_text(value, unit).removesuffix("%")


def interval_text(estimate: Estimate | None, unit: str) -> str:
    """The interval as "[low, high]"; empty where there is none."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"[{_bare(estimate.low, unit)}, {_bare(estimate.high, unit)}]"


def estimate_text(estimate: Estimate | None, measure: Measure, separator: str = " ") -> str:
    """Figure and interval."""
    mean = value_text(None if estimate is None else estimate.mean, measure.unit)
    return separator.join(part for part in (mean, interval_text(estimate, measure.unit)) if part)


def difference_text(estimate: Estimate | None, measure: Measure, separator: str = " ") -> str:
    """A difference with its sign, a share's in percentage points, and its interval."""
    if estimate is None:
        return MISSING
    mean = _bare(estimate.mean, measure.unit)
    mean = mean if mean.startswith("-") else f"+{mean}"
    return separator.join(part for part in (mean, interval_text(estimate, measure.unit)) if part)


def clear(estimate: Estimate | None) -> bool:
    """Whether a difference's interval leaves zero out."""
    return (
        estimate is not None
        and estimate.low is not None
        and estimate.high is not None
        and (estimate.low > 0 or estimate.high < 0)
    )


def bytes_text(num_bytes: float | None) -> str:
    """Bytes in decimal units: 1 MB is 1,000,000 bytes."""
    if num_bytes is None:
        return MISSING
    for factor, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(num_bytes) >= factor:
            return f"{num_bytes / factor:.3g} {unit}"
    return f"{num_bytes:.0f} B"


def count_text(count: float | None) -> str:
    """A count with thousands separators."""
    return MISSING if count is None else f"{count:,.0f}"


def number_text(value: float | None) -> str:
    """A number of unknown range, three significant digits."""
    if value is None:
        return MISSING
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def words(name: str) -> str:
    """The name of a class as people would say it: "CrossEncoderRelevance" is "cross encoder relevance"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()


def teacher_name(teacher: str) -> str:
    """A teacher's class in words; the simulated one is called so wherever it appears."""
    return "simulated teacher" if teacher == "RetrievalTeacher" else words(teacher)
