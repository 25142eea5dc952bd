"""The section of the page and the files beside it, from runs as they are and from runs that tell little."""

import csv
import io

import pytest
from rich.console import Console

from ecc_fed.core.errors import UserError
from ecc_fed.reporting.comparison.export import csv_files
from ecc_fed.reporting.comparison.figures.matrix import heat_map
from ecc_fed.reporting.comparison.findings import find
from ecc_fed.reporting.comparison.page import context
from ecc_fed.reporting.comparison.worlds import FACTS
from ecc_fed.reporting.report import report
from ecc_fed.reporting.study import load_study
from tests.reporting.test_report import check

FILES = {
    "shops.csv", "differences.csv", "verdicts.csv", "traits.csv", "pareto.csv", "rounds.csv", "drift.csv",
    "methods.csv",
}  # fmt: skip
RIGHTS = {f"s{number}": [1] * (10 + number) + [0] * (10 - number) for number in range(6)}
LESS = {f"s{number}": [1] * 4 + [0] * 16 for number in range(6)}


@pytest.fixture
def whole_study(known_run, tmp_path):
    days = [None] * 10 + [float(day) for day in range(10)]
    profiles = {shop: (20 * place + 10, 0.1 * place) for place, shop in enumerate(RIGHTS)}
    for arm, rights in (("none", LESS), ("local", RIGHTS), ("aggregated", LESS), ("personalized", RIGHTS)):
        known_run(arm, 0, rights, name=f"study/{arm}", days=days, profiles=profiles)
    return tmp_path / "study"


def test_page_console_and_files_tell_every_part(whole_study):
    console = Console(file=io.StringIO(), width=120)
    page, text = check(report([whole_study], console=console))
    for title in ("Local or aggregated?", "Whom it helped: paired differences to local", "Quality against cost"):
        assert title in text
    for name in ("matrix-0-facts_right", "verdicts-0", "traits-0-training_pairs", "traits-0-unlikeness", "drift",
                 "recovery", "pareto-0-facts_right", "methods"):  # fmt: skip
        assert f'id="{name}-' in page
    assert {path.name for path in (whole_study / "comparison").iterdir()} == FILES
    said = console.file.getvalue()
    first = said.splitlines()
    assert first[0].startswith("none: ") and first[3].startswith("personalized: ")
    assert "; below local (-" in first[2] and first[2].endswith("shops: helped 0 of 6, hurt 6, undecided 0.")
    assert "; level with local (+0.0 [0.0, 0.0]); " in first[3]
    assert "local: each shop fine-tunes its own adapter; no server" in first
    for line in (*first[:4], "after each round a server makes one"):
        assert line.replace("'", "&#39;") in page, "the page says the same"
    assert "Against local" in said


def test_the_files_hold_the_verdicts(whole_study):
    files = csv_files(find(load_study([whole_study])))
    rows = {name: list(csv.DictReader(io.StringIO(text))) for name, text in files.items()}
    (verdict,) = [row for row in rows["verdicts.csv"] if (row["arm"], row["measure"]) == ("aggregated", "facts_right")]
    assert (verdict["baseline"], verdict["shops"], verdict["unpaired"]) == ("local", "6", "0")
    effects = [row["effect"] for row in rows["differences.csv"]
               if (row["arm"], row["measure"]) == ("aggregated", "facts_right")]  # fmt: skip
    # They lose from six answers up, all of which differ.
    assert (verdict["hurt"], effects) == ("6", ["hurt"] * 6)
    assert {(row["shop"], row["training_pairs"], row["unlikeness"]) for row in rows["shops.csv"]} == {
        (f"s{number}", str(20 * number + 10), f"{0.1 * number:.6g}") for number in range(6)
    }
    assert float(verdict["difference"]) == pytest.approx(-sum(6 + number for number in range(6)) / 120, rel=1e-5)
    assert [row["unbeaten"] for row in rows["pareto.csv"] if row["measure"] == "facts_right"].count("yes") >= 1


def test_a_baseline_of_ones_own(whole_study):
    told = context(find(load_study([whole_study]), "aggregated"))
    assert told["baseline"] == "aggregated"
    assert [row[0].text for row in told["verdicts"].rows][::2] == [
        "none − aggregated", "local − aggregated", "personalized − aggregated",
    ]  # fmt: skip
    with pytest.raises(UserError, match="No run has the arm mine"):
        report([whole_study], baseline="mine")


def test_runs_that_tell_little_say_so(known_run, tmp_path):
    known_run("none", 0, {"a": [0, 1]}, rounds=0)
    known_run("retrieval", 0, {"b": [0, 1]}, rounds=0)
    _, text = check(report([tmp_path]))
    for sentence in (
        "No other arm met the same questions as none.",
        "The runs tell nothing of the shops' training dialogues",
        "No round was served.",
        "No fact of a test question changed.",
    ):
        assert sentence in text
    assert "How near each method comes" not in text
    assert {path.name for path in (tmp_path / "comparison").iterdir()} == {"shops.csv", "pareto.csv"}


def test_a_single_run_is_compared_with_nobody(known_run):
    root = known_run("local", 0, {"a": [0, 1]})
    _, text = check(report([root]))
    assert "Local or aggregated?" not in text
    assert not (root / "comparison").exists()


def test_names_from_outside_stay_text(known_run, tmp_path):
    for arm in ("local", "aggregated"):
        known_run(arm, 0, {"=cmd()|<b>": [0, 1] * 5})
    findings = find(load_study([tmp_path]))
    assert "'=cmd()|<b>" in csv_files(findings)["shops.csv"]
    drawn = heat_map(findings.matrices[0], FACTS, 0)
    assert "<b>" not in drawn
    assert "=cmd()|&lt;b&gt;" in drawn
