"""The page of attacks on a study's runs."""

import re
from pathlib import Path

import pytest

from ecc_fed.core.errors import ConfigError, UserError
from experiments.privacy.leakage import Leakage
from tests.cli.test_cross import finish

PLANTED = ["corpus.canaries=[8]", "evolution.reference=sampled", "evolution.reference_rate=0", "finetune.steps=20"]


def test_every_run_is_attacked_once_and_stands_beside_what_it_is_worth(tmp_path: Path) -> None:
    runs = [
        finish(tmp_path / "runs" / "local", "arm=local", "privacy.keep_text=true", *PLANTED),
        finish(tmp_path / "runs" / "aggregated", "arm=aggregated", *PLANTED),
    ]
    finish(tmp_path / "runs" / "none", "arm=none", *PLANTED)
    page, table, figure = Leakage(candidates=16).write(tmp_path / "runs", tmp_path)
    assert figure.read_text().startswith("<svg") and "Shop's own adapter" in figure.read_text()
    text = page.read_text()
    threats = text[: text.index("## Bare base")].splitlines()
    assert [line.split(" | ")[:2] for line in threats if line.startswith("| ") and "`" in line] == [
        ["| The cloud", "`local`"],
        ["| Who takes the device", "`local`"],
        ["| Aggregator, curious", "`aggregated`"],
        ["| Aggregator under SecAgg+, or another shop", "`aggregated`"],
        ["| Who takes the device", "`aggregated`"],
    ]
    cloud = next(line for line in threats if "The cloud" in line)
    assert re.search(r"\| [\d.]+ .B \| \*\*leaks\*\*; \d+ of \d+ values \|", cloud), cloud
    assert "## Bare base (control)" in text and "0.500 [0.500, 0.500]" in text
    tables = text[text.index("## Bare base") :]
    assert tables.count("| `local` |") == 3 and tables.count("| `aggregated` |") == 4, "local sends nobody anything"
    assert "| `none` |" not in text
    assert "8x in the reply" in text and " of 4 " in text
    head = "arm,attack,target,kind,mean,ci95_low,ci95_high,tpr_at_1_percent_fpr,members,others"
    assert table.read_text().splitlines()[0] == head
    before = [(run.attacks / "rows.jsonl").stat().st_mtime_ns for run in runs]
    Leakage(candidates=16).write(tmp_path / "runs", tmp_path)
    assert [(run.attacks / "rows.jsonl").stat().st_mtime_ns for run in runs] == before


def test_nothing_to_attack_and_a_bad_number_are_said(tmp_path: Path) -> None:
    finish(tmp_path / "runs" / "none", "arm=none")
    with pytest.raises(UserError, match="holds no run whose shops trained: there is nothing to attack"):
        Leakage(16).write(tmp_path / "runs", tmp_path)
    with pytest.raises(ConfigError, match=r"study\.view\.candidates=1"):
        Leakage(1)
