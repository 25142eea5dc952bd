"""What was found of every arm and defence, as a CSV: a line a figure. Parts of a study can be joined by it."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast, get_args

from ecc_fed.core.errors import UserError
from ecc_fed.core.rows import AttackName, AttackTarget
from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.attacks import AttackFigure
from experiments.privacy.attacked import WORTH, Attacked, Costs
from experiments.privacy.cloud import Heard

COLUMNS = (
    *("method", "defence", "figure", "target", "kind", "mean", "ci95_low", "ci95_high"),
    *("members", "others", "tpr_at_1_percent_fpr", "most"),
)
_COSTS = tuple(field.name for field in dataclasses.fields(Costs))
# Of `members` private values the cloud read so many.
_HEARD = "read_by_the_cloud"


def as_csv(found: Sequence[Attacked]) -> str:
    """The file's text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in found:
        writer.writerows([one.method, one.defence, *line] for line in _lines(one))
    return out.getvalue()


def _lines(one: Attacked) -> Iterator[list[object]]:
    for figure in one.figures:
        mean, low, high = _bounds(figure.estimate)
        extra = [figure.members, figure.others, _text(figure.found), _text(figure.most)]
        yield [figure.attack, figure.target, figure.kind, mean, low, high, *extra]
    for name in WORTH:
        estimate = one.worth[name]
        if estimate is not None:
            yield [name, "", "", *_bounds(estimate), estimate.n or "", "", "", ""]
    for name in _COSTS:
        if (value := getattr(one.costs, name)) is not None:
            yield [name, "", "", _text(value), *[""] * 6]
    if one.heard is not None:
        yield [_HEARD, "", "", one.heard.found, "", "", one.heard.said, "", "", ""]


def _bounds(estimate: Estimate) -> list[str]:
    return [_text(estimate.mean), _text(estimate.low), _text(estimate.high)]


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def read_found(path: Path) -> list[Attacked]:
    """What a file tells, in its order.

    Raises:
        UserError: it cannot be read, or is no such file; names the line.
    """
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            reader = csv.DictReader(lines)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise UserError(f"{path} is no table of what leaks: its first line should be {','.join(COLUMNS)}.")
            for row in reader:
                groups.setdefault((row["method"], row["defence"]), []).append(row)
            return [_attacked(*key, rows) for key, rows in groups.items()]
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. Give the leakage.csv of a study.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is broken: {error}. Write it again from its runs.") from error


def _attacked(method: str, defence: str, rows: Sequence[dict[str, str]]) -> Attacked:
    told = {row["figure"]: row for row in rows}
    costs = {name: float(told[name]["mean"]) for name in _COSTS if name in told}
    read = told.get(_HEARD)
    return Attacked(
        method,
        defence,
        [_figure(row) for row in rows if row["figure"] in get_args(AttackName)],
        {name: _estimate(told[name]) if name in told else None for name in WORTH},
        Costs(**costs),
        None if read is None else Heard(int(read["members"]), int(read["mean"])),
    )


def _figure(row: dict[str, str]) -> AttackFigure:
    return AttackFigure(
        cast(AttackName, row["figure"]),
        cast(AttackTarget, row["target"]),
        row["kind"],
        _estimate(row),
        int(row["members"]),
        int(row["others"]),
        _number(row["tpr_at_1_percent_fpr"]),
        _number(row["most"]),
    )


def _estimate(row: dict[str, str]) -> Estimate:
    return Estimate(
        float(row["mean"]), _number(row["ci95_low"]), _number(row["ci95_high"]), int(row["members"] or 0), None, 0
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
