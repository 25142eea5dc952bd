"""What is said of days on which facts change, held against counts by hand."""

from pathlib import Path

import pytest

from ecc_fed.core.errors import UserError
from ecc_fed.core.rows import FactRow, SampleRow, read_rows
from ecc_fed.reporting.study import load_study
from experiments.drift.recovery import OUTCOMES, ROUNDS, Recovery, against, at_the_end, by_round
from tests.cli.test_cross import finish

CHANGING = [
    "corpus.pairs_per_shop=60",
    "corpus.test_pairs_per_shop=30",
    "corpus.days=8",
    "corpus.drift=0.8",
    "corpus.drift_day=3",
    "evolution.server_rounds=3",
    "finetune.steps=30",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drift")
    for arm in ("local", "retrieval"):
        finish(root / arm, f"arm={arm}", *CHANGING)
    return root


def test_rounds_and_the_end_are_counts_of_the_rows(runs: Path) -> None:
    for group in load_study([runs]).groups:
        (run,) = group.runs
        of_changed, of_others = (by_round(group, of) for of in ROUNDS.values())
        rows = [row for row in run.metrics or () if row.split == "stream" and row.facts is not None]
        for server_round in (1, 2, 3):
            facts = [row.facts for row in rows if row.server_round == server_round and row.facts is not None]
            asked, right = sum(one.asked for one in facts), sum(one.right for one in facts)
            changed, changed_right = sum(one.changed for one in facts), sum(one.changed_right for one in facts)
            if changed:
                assert of_changed[server_round].mean == pytest.approx(changed_right / changed)
                assert of_changed[server_round].n == changed
            else:
                assert server_round not in of_changed
            assert of_others[server_round].mean == pytest.approx((right - changed_right) / (asked - changed))
        tested: list[FactRow] = [
            fact for row in read_rows(run.directory.samples, SampleRow) if row.phase == "final" for fact in row.facts
        ]
        old = [fact for fact in tested if fact.days_since_change is not None]
        rest = [fact for fact in tested if fact.days_since_change is None]
        wanted = [
            sum(fact.right for fact in old) / len(old),
            sum(bool(fact.competing_stated) for fact in old) / len(old),
            sum(fact.right for fact in rest) / len(rest),
        ]
        assert [one.mean for one in at_the_end(group) if one is not None] == pytest.approx(wanted)


def test_a_paired_difference_is_that_of_the_ends(runs: Path) -> None:
    local, retrieval = sorted(load_study([runs]).groups, key=lambda group: group.arm)
    ends = [[one.mean for one in at_the_end(group) if one is not None] for group in (retrieval, local)]
    paired = [one.mean for one in against(retrieval, local) if one is not None]
    assert paired == pytest.approx([own - other for own, other in zip(*ends, strict=True)])
    assert any(paired), "the arms differ"


def test_the_page_has_every_arm_and_the_figure_is_one(runs: Path, tmp_path: Path) -> None:
    text, table, figure = Recovery().write(runs, tmp_path)
    page = text.read_text()
    for title in (*ROUNDS, *OUTCOMES, "80% of the shops' own change"):
        assert title in page
    # By round twice, and at the end; the baseline stands beside no difference.
    assert page.count("| `local` |") == page.count("| `retrieval` |") == 3
    ends = page[page.index("At the end") :].splitlines()
    assert [";" in line for line in ends if line.startswith("| `")] == [True, False]
    assert figure.read_text().startswith("<svg")
    head, *lines = table.read_text().splitlines()
    assert head == "world,arm,facts,server_round,right,ci95_low,ci95_high,queries" and len(lines) >= 8


def test_runs_without_a_change_are_refused(tmp_path: Path) -> None:
    finish(tmp_path / "still", "arm=none", "corpus.drift=0")
    with pytest.raises(UserError, match=r"no run in which a fact changed\. Run one with corpus\.drift=0\.5"):
        Recovery().write(tmp_path, tmp_path)
