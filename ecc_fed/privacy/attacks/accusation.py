"""How many of those that are meant does an attack find, when it accuses a given number, or those it is certain of?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def recall_at(residuals: npt.ArrayLike, there: npt.ArrayLike, count: int) -> float | None:
    """The share of those that are there among the `count` of least residual, ties broken by chance in the mean.

    With as many accused as are there, recall and precision are one number. None where nobody is there.
    """
    values, meant = np.asarray(residuals, dtype=np.float64), np.asarray(there, dtype=bool)
    if not meant.any():
        return None
    count = min(count, len(values))
    if count < 1:
        return 0.0
    last = np.sort(values)[count - 1]
    below, tied = values < last, values == last
    places_left = count - int(below.sum())
    hits = int((below & meant).sum()) + places_left * float((tied & meant).sum()) / int(tied.sum())
    return hits / int(meant.sum())


def found_among(accused: npt.ArrayLike, there: npt.ArrayLike) -> tuple[float | None, float | None]:
    """Recall and precision of an accusation: None where nobody is there, or where nobody is accused."""
    named, meant = np.asarray(accused, dtype=bool), np.asarray(there, dtype=bool)
    hits = int((named & meant).sum())
    recall = hits / int(meant.sum()) if meant.any() else None
    precision = hits / int(named.sum()) if named.any() else None
    return recall, precision
