"""The facts of test questions that every compared arm answered, and what may decide between training and copying."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ecc_fed.core.errors import UserError
from ecc_fed.core.rows import FactRow, SampleRow
from ecc_fed.reporting.study import Study
from ecc_fed.reporting.units import QueryKey

TRAINED, COPIED = "local", "retrieval"
BOTH, BASE_WITH_EXAMPLES = "local_with_examples", "base_with_examples"
# In the order of the table; the last two may be missing.
ARMS = (COPIED, BASE_WITH_EXAMPLES, TRAINED, BOTH)


@dataclass(frozen=True)
class Case:
    """One fact that a reply had to state.

    Attributes:
        seed: of the runs.
        row: the trained arm's reply.
        fact: the trained arm's row of the fact.
        right: arm -> whether its reply stated the fact and no competing value.
    """

    seed: int
    row: SampleRow
    fact: FactRow
    right: Mapping[str, bool]


def cases_of(part: Study) -> tuple[tuple[str, ...], list[Case]]:
    """The arms that are there, in the table's order, and every fact that all of them were asked for.

    Args:
        part: runs of one setting; of every arm one group.

    Raises:
        UserError: an arm that must be there is not, or no question was put to all arms.
    """
    groups = {group.arm: group for group in part.groups}
    if missing := [arm for arm in (TRAINED, COPIED) if arm not in groups]:
        raise UserError(
            f"No finished run of arm {' and '.join(missing)} among these: give the folders of a study whose arms are "
            f"{', '.join(ARMS)}."
        )
    arms = tuple(arm for arm in ARMS if arm in groups)
    rows = {arm: groups[arm].rows("final") for arm in arms}
    found = []
    for key, row in rows[TRAINED].items():
        answers = {arm: of[key] for arm, of in rows.items() if key in of and _same_question(of[key], row)}
        if len(answers) == len(arms):
            found += [case for fact in row.facts if (case := _case(key, row, fact, answers)) is not None]
    if not found:
        raise UserError(
            "No fact was asked for in all arms: give the runs of one study, with the same seeds in every arm."
        )
    return arms, found


def _same_question(one: SampleRow, other: SampleRow) -> bool:
    return (one.query, one.reference) == (other.query, other.reference)


def _case(key: QueryKey, row: SampleRow, fact: FactRow, answers: Mapping[str, SampleRow]) -> Case | None:
    right = {arm: of.right for arm, answer in answers.items() for of in answer.facts if of.key == fact.key}
    return Case(key[0], row, fact, right) if len(right) == len(answers) else None


@dataclass(frozen=True)
class Cut:
    """A way to part the cases: its title, its parts in order, and a case's part, None where nobody measured it."""

    title: str
    parts: tuple[str, ...]
    part_of: Callable[[Case], str | None]


def binned(value: float | None, bounds: Sequence[float], parts: Sequence[str]) -> str | None:
    """The first part whose bound holds the value, the last one beyond all; None for no value."""
    if value is None:
        return None
    return next((part for part, bound in zip(parts, bounds, strict=False) if value <= bound), parts[-1])


_TAUGHT = ("never", "once", "twice", "3 to 4 times", "5 to 8 times", "more often")
# Of 1 less the cosine; a quarter of the embedded study's test questions lies below 0.6, half below 0.67.
_DISTANCES = ("up to 0.5", "0.5 to 0.65", "0.65 to 0.8", "more than 0.8")
_CHANGED = ("up to 1 day ago", "1 to 3 days ago", "longer ago")
_NEVER_CHANGED = "never"


def _distance(case: Case) -> str | None:
    signals = case.row.signals
    return None if signals is None else binned(signals.distance, (0.5, 0.65, 0.8), _DISTANCES)


def _change(case: Case) -> str | None:
    return binned(case.fact.days_since_change, (1, 3), _CHANGED) or _NEVER_CHANGED


CUTS = (
    Cut("All", ("all facts",), lambda case: "all facts"),
    Cut(
        "Training pairs that state the fact",
        _TAUGHT,
        lambda case: binned(case.fact.taught, (0, 1, 2, 4, 8), _TAUGHT),
    ),
    Cut("Whose fact", ("shop", "platform"), lambda case: case.fact.scope),
    Cut("Distance of the question to the nearest one taught", _DISTANCES, _distance),
    Cut("Turns before the question", ("none", "some"), lambda case: "some" if case.row.context else "none"),
    Cut("The fact's last change", (_NEVER_CHANGED, *_CHANGED), _change),
)
