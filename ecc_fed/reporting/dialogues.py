"""Which dialogues the report shows: some of every outcome, drawn by lot within it, never picked by hand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ecc_fed.core.rows import Phase, SampleRow
from ecc_fed.core.seeding import derive_rng
from ecc_fed.reporting.measures import all_right
from ecc_fed.reporting.run import Run
from ecc_fed.reporting.study import Study

# Whose replies decide the outcome: the first of these that the study has.
_FOCUS = ("personalized", "local", "distilled", "aggregated", "centralized", "cloud")
Query = tuple[str, str]
Test = Callable[[SampleRow, SampleRow], bool]


@dataclass(frozen=True)
class Verdict:
    """One thing to say about a reply; `good` is None where it is neither good nor bad."""

    text: str
    good: bool | None


@dataclass(frozen=True)
class Dialogue:
    """A test query with the reply before evolution and those after it, by arm.

    `outcome` says why it is shown, `share` how many of the test queries share that outcome.
    """

    outcome: str
    share: str
    seed: int
    variant: str
    before: SampleRow
    after: Mapping[str, SampleRow]

    @property
    def cloud_reply(self) -> str | None:
        """The first reply that the cloud gave in any phase or arm."""
        rows = (self.before, *self.after.values())
        return next((row.cloud_reply for row in rows if row.cloud_reply is not None), None)


def verdicts(row: SampleRow) -> list[Verdict]:
    """What the facts and the judge say of a reply."""
    found: list[Verdict] = []
    right = all_right(row)
    if right is not None:
        found.append(Verdict("facts right" if right else "facts wrong", right))
    for fact in row.facts:
        if fact.right:
            continue
        if fact.other_shop:
            shops = ", ".join(fact.other_shop[:3]) + (", …" if len(fact.other_shop) > 3 else "")
            found.append(Verdict(f"states a value of {shops}", False))
        elif fact.competing_stated:
            found.append(Verdict(f"states {', '.join(fact.competing_stated[:3])}", False))
    if row.final_score is not None:
        trusted = "" if row.relevance_trusted in (True, None) else " (similarity alone)"
        found.append(Verdict(f"final score {row.final_score:.2f}{trusted}", row.accepted))
    if row.verbatim:
        found.append(Verdict("a training reply, word for word", None))
    return found


def _outcomes(focus: str, facts: bool) -> list[tuple[str, Test]]:
    """Outcomes to show, in turn. Each test gets the rows before and after."""
    if not facts:
        return [
            (f"Score rose ({focus})", lambda a, b: _change(a, b) > 0.05),
            (f"Score fell ({focus})", lambda a, b: _change(a, b) < -0.05),
            (f"Still not accepted ({focus})", lambda a, b: b.accepted is False),
            (f"Score hardly moved ({focus})", lambda a, b: abs(_change(a, b)) <= 0.05 and b.final_score is not None),
            ("No cloud reply to judge by", lambda a, b: b.final_score is None),
        ]
    return [
        (f"Wrong before, right after ({focus})", lambda a, b: all_right(a) is False and all_right(b) is True),
        (
            f"Another shop's value after ({focus})",
            lambda a, b: any(not fact.right and fact.other_shop for fact in b.facts),
        ),
        (f"Wrong before and after ({focus})", lambda a, b: all_right(a) is False and all_right(b) is False),
        (f"Right before, wrong after ({focus})", lambda a, b: all_right(a) is True and all_right(b) is False),
        (
            "About a fact that training never held",
            lambda a, b: any(fact.scope == "shop" and not fact.seen for fact in b.facts),
        ),
        ("About a platform rule", lambda a, b: any(fact.scope == "platform" for fact in b.facts)),
        ("About no fact", lambda a, b: not b.facts),
    ]


def _change(before: SampleRow, after: SampleRow) -> float:
    if before.final_score is None or after.final_score is None:
        return 0.0
    return after.final_score - before.final_score


def _by_query(run: Run, phase: Phase) -> dict[Query, SampleRow]:
    return {(row.shop_id, row.pair_id): row for row in run.rows(phase)}


def _setting(study: Study) -> tuple[int, str, dict[str, Run]]:
    """Seed, variant and arm -> run, where most arms ran; the first among equals."""
    found: dict[tuple[str, int], dict[str, Run]] = {}
    for group in study.groups:
        for run in group.runs:
            found.setdefault((group.variant_label, run.seed), {})[group.arm] = run
    (variant, seed), runs = max(found.items(), key=lambda item: len(item[1]))
    return seed, variant, runs


def choose(study: Study, limit: int = 6) -> list[Dialogue]:
    """At most `limit` dialogues of one seed, one of each outcome in turn, spread over the shops."""
    if not study.groups or limit <= 0:
        return []
    seed, variant, runs = _setting(study)
    evolving = [arm for arm in _FOCUS if arm in runs] or [arm for arm, run in runs.items() if run.evolves] or list(runs)
    focus = evolving[0]
    before, after = _by_query(runs[focus], "base"), _by_query(runs[focus], "final")
    queries = sorted(before.keys() & after.keys())
    finals = {arm: _by_query(run, "final") for arm, run in runs.items() if run.evolves or len(runs) == 1}
    outcomes = _outcomes(focus, any(row.facts for row in after.values()))
    pools = [[query for query in queries if test(before[query], after[query])] for _, test in outcomes]
    shares = [f"{len(pool)} of {len(queries)} test queries" for pool in pools]
    chosen: list[tuple[int, Query]] = []
    taken: dict[Query, None] = {}
    while len(chosen) < limit and any(pools):
        for index, pool in enumerate(pools):
            pools[index] = pool = [query for query in pool if query not in taken]
            if pool and len(chosen) < limit:
                query = _draw(pool, list(taken), outcomes[index][0], len(chosen))
                chosen.append((index, query))
                taken[query] = None
    return [
        Dialogue(
            outcome=outcomes[index][0],
            share=shares[index],
            seed=seed,
            variant=variant,
            before=before[query],
            after={
                arm: rows[query] for arm, rows in finals.items() if query in rows and _same(rows[query], after[query])
            },
        )
        for index, query in sorted(chosen, key=lambda item: item[0])
    ]


def _same(row: SampleRow, other: SampleRow) -> bool:
    return (row.query, row.reference) == (other.query, other.reference)


def _draw(pool: Sequence[Query], taken: Sequence[Query], outcome: str, turn: int) -> Query:
    """A query by lot, from the shops that were shown least."""
    shown = [shop for shop, _ in taken]
    fewest = min(shown.count(shop) for shop, _ in pool)
    fresh = [query for query in pool if shown.count(query[0]) == fewest]
    return fresh[int(derive_rng(0, "dialogues", outcome, turn).integers(len(fresh)))]
