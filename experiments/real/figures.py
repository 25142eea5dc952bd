"""One corpus: every arm's figures, and their paired differences to the bare base's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecc_fed.core.errors import UserError
from ecc_fed.core.protocols import SimilarityModel
from ecc_fed.core.rows import SampleRow
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate, Values, bootstrap_ratio_differences, bootstrap_ratios
from ecc_fed.reporting.counts import kneser_ney
from ecc_fed.reporting.measures import Measure
from ecc_fed.reporting.study import Group, Study
from ecc_fed.reporting.units import QueryKey, drawn_text, seeded, units_of
from experiments.real.columns import Limit, by_model, columns, parts, similarities
from experiments.real.wording import broken, distinct

BASE = "none"
ORDERS = (1, 2)


@dataclass(frozen=True)
class Line:
    """One arm, or the human agents.

    Attributes:
        name: of the arm.
        figures: by measure; None where it applies to no query.
        against: paired differences to the bare base, over the queries to which a measure applies on both sides.
        distinct: distinct-n of all replies, by order.
        replies: how many; broken: how many characters of them are U+FFFD, None where no model was asked.
    """

    name: str
    figures: Mapping[str, Estimate | None]
    against: Mapping[str, Estimate | None]
    distinct: tuple[float | None, ...]
    replies: int
    broken: int | None


@dataclass(frozen=True)
class Corpus:
    """The lines of one corpus, the arms in the order of reports, then the human agents.

    `setting` is what was swept beside the arms. `kneser_ney` are the perplexities a character of a Kneser-Ney model of
    the shops' own replies, a seed each.
    """

    name: str
    setting: str
    measures: tuple[Measure, ...]
    lines: tuple[Line, ...]
    kneser_ney: tuple[float, ...]
    drawn: str

    @property
    def title(self) -> str:
        """The corpus, with what was swept."""
        return f"{self.name} ({self.setting})" if self.setting else self.name


def corpus_of(part: Study, limit: Limit, similarity: SimilarityModel) -> Corpus:
    """The figures of the runs of one setting.

    Args:
        part: of every arm one group.
        limit: of the replies' length.
        similarity: of a reply to the human one.

    Raises:
        UserError: the bare base is not among the arms, or its runs have no test reply.
    """
    groups = {group.arm: group for group in part.groups}
    base = groups[BASE].rows("final") if BASE in groups else {}
    if not base:
        raise UserError(
            f"No test reply of the arm {BASE} among the runs {_names(part)}: what others are held against is missing. "
            f"Run the study with study.arms=[{BASE},…]."
        )
    told = [row for group in part.groups for row in group.rows("final").values()]
    measures = columns(limit, similarities(told, similarity))
    lines = [_line(group, base, measures) for group in part.groups]
    lines.append(_human(base))
    known = [of["mean"] for run in groups[BASE].runs if (of := kneser_ney(run)) is not None]
    return Corpus(
        groups[BASE].runs[0].info.corpus,
        groups[BASE].variant_label,
        measures,
        tuple(lines),
        tuple(known),
        drawn_text(seeded(base)),
    )


def _names(part: Study) -> str:
    return ", ".join(str(run.directory.root.name) for run in part.runs[:5])


def _line(group: Group, base: Mapping[QueryKey, SampleRow], measures: Sequence[Measure]) -> Line:
    rows = group.rows("final")
    seed = derive_seed(0, "real", group.key)
    above, below = _fractions(list(rows.values()), measures)
    found = bootstrap_ratios(np.nan_to_num(above), np.nan_to_num(below), units_of(seeded(rows)), seed)
    figures = {m.name: _shown(one, m) for m, one in zip(measures, found, strict=True)}
    against: dict[str, Estimate | None] = {}
    if group.arm != BASE:
        against = differences(rows, base, measures, seed)
    replies = [row.reply for row in rows.values()]
    asked = [row.reply for row in rows.values() if by_model(row)]
    spread = tuple(distinct(replies, order) for order in ORDERS)
    return Line(group.arm, figures, against, spread, len(replies), sum(map(broken, asked)) if asked else None)


def _human(rows: Mapping[QueryKey, SampleRow]) -> Line:
    said = [row.reference for row in rows.values()]
    return Line("the human agents", {}, {}, tuple(distinct(said, order) for order in ORDERS), len(said), None)


def differences(
    left: Mapping[QueryKey, SampleRow], right: Mapping[QueryKey, SampleRow], measures: Sequence[Measure], seed: int
) -> dict[str, Estimate | None]:
    """left - right over the queries that both answered, with the same human reply; by measure."""
    keys = [
        key
        for key, row in left.items()
        if (other := right.get(key)) is not None and (other.query, other.reference) == (row.query, row.reference)
    ]
    sides = [_fractions([side[key] for key in keys], measures) for side in (left, right)]
    missing = np.isnan(sides[0][0]) | np.isnan(sides[1][0])
    first, second = [tuple(np.where(missing, 0.0, part) for part in side) for side in sides]
    found = bootstrap_ratio_differences(
        (first[0], first[1]),
        (second[0], second[1]),
        units_of(seeded({key: left[key] for key in keys})),
        seed,
        exponentials=[measure.unit == "perplexity" for measure in measures],
    )
    return {measure.name: one for measure, one in zip(measures, found, strict=True)}


def _fractions(rows: Sequence[SampleRow], measures: Sequence[Measure]) -> tuple[Values, Values]:
    """Numerators and denominators, each (rows, measures); NaN where a measure does not apply."""
    cells = [[one or (np.nan, np.nan) for one in row] for row in parts(rows, measures)]
    array = np.array(cells, dtype=np.float64).reshape(len(rows), len(measures), 2)
    return array[:, :, 0], array[:, :, 1]


def _shown(estimate: Estimate | None, measure: Measure) -> Estimate | None:
    if estimate is None or measure.unit != "perplexity":
        return estimate
    low, high = (None if bound is None else float(np.exp(bound)) for bound in (estimate.low, estimate.high))
    return replace(estimate, mean=float(np.exp(estimate.mean)), low=low, high=high)
