"""Figures that are stated somewhere, held against their files and against what a rerun found."""

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.claims.claims import Claim, check, read_claims, read_figures, said

ROOT = Path(__file__).parents[2]
CLAIM = Claim("study", "local", "fact_accuracy", 0.58, 0.54, 0.62, "README.md", "Shop facts", "58.0% [54.0, 62.0]")
TEXT = "| Final score | 0.5 |\n| Shop facts right | 0.0% | **58.0% [54.0, 62.0]** |\n| Other | 58.1% |\n"


def test_every_stated_figure_stands_in_its_file_as_claimed() -> None:
    _, claims = read_claims(ROOT / "experiments" / "claims" / "claims.toml")
    texts = {claim.where: (ROOT / claim.where).read_text(encoding="utf-8") for claim in claims}
    assert [finding for claim in claims if (finding := check(claim, texts[claim.where], None)).faults] == []
    assert claims and all(claim.low <= claim.mean <= claim.high for claim in claims)


@pytest.mark.parametrize("found", [0.54, 0.58, 0.62])
def test_a_rerun_within_the_interval_holds(found: float) -> None:
    finding = check(CLAIM, TEXT, {CLAIM.key: found})
    assert finding.found == found and finding.faults == ()


@pytest.mark.parametrize("found", [0.539, 0.621])
def test_a_rerun_outside_is_a_fault(found: float) -> None:
    (fault,) = check(CLAIM, TEXT, {CLAIM.key: found}).faults
    assert "outside [0.54, 0.62]" in fault


def test_a_figure_that_the_rerun_lacks_or_the_file_does_not_state_is_a_fault() -> None:
    assert check(CLAIM, TEXT, {}).faults == ("the rerun has no such figure",)
    (fault,) = check(replace(CLAIM, text="59.0%"), TEXT, None).faults
    assert fault.startswith("README.md does not say '59.0%'")
    # In another line it does not count.
    assert not said(replace(CLAIM, line="Final score"), TEXT)


def test_figures_are_those_of_all_seeds(tmp_path: Path) -> None:
    path = tmp_path / "arms.csv"
    path.write_text(
        "arm,variant,seed,phase,measure,mean,ci95_low,ci95_high,queries\n"
        "local,share=0,all,final,chrf,29.5,1,2,3\nlocal,share=0,0,final,chrf,1,1,2,3\nlocal,,all,base,chrf,,,,0\n",
        encoding="utf-8",
    )
    assert read_figures(path) == {("local", "share=0", "final", "chrf"): 29.5}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('[commands.a]\ncommand = "x"\nminutes = 1\n[[claims]]\nof = "b"\n', "claims"),
        ('[commands.a]\ncommand = "x"\n[[claims]]\n', "minutes"),
        ("claims = []\n", "commands"),
    ],
)
def test_a_broken_list_is_refused(tmp_path: Path, content: str, named: str) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"claims\.toml"):
        read_claims(path)
