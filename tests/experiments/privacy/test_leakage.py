"""The page of attacks on a study's runs."""

import re
from pathlib import Path

import pytest

from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.core.errors import ConfigError, UserError
from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.attacks import AttackFigure
from experiments.privacy.attacked import WORTH, Attacked, Costs, defence_of
from experiments.privacy.findings_file import as_csv, read_found
from experiments.privacy.leakage import Leakage, joined, main, write_page
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
    rows = [tables.count(f"| `{arm}` | as it is |") for arm in ("local", "aggregated")]
    assert rows == [3, 4], "local sends nobody anything"
    assert "| `none` |" not in text
    assert "8x in the reply" in text and " of 4 " in text
    found = read_found(table)
    assert [(one.method, one.defence) for one in found] == [("local", "as it is"), ("aggregated", "as it is")]
    # The page of what was read is that of what was found; the figure's points differ in the seventh digit.
    again = write_page(found, tmp_path / "again")
    assert [path.read_text() for path in again[:2]] == [path.read_text() for path in (page, table)]
    assert again[2].read_text().count("<path") == figure.read_text().count("<path")
    before = [(run.attacks / "rows.jsonl").stat().st_mtime_ns for run in runs]
    Leakage(candidates=16).write(tmp_path / "runs", tmp_path)
    assert [(run.attacks / "rows.jsonl").stat().st_mtime_ns for run in runs] == before


def test_a_defence_is_named_though_all_runs_have_it(tmp_path: Path) -> None:
    masked = ["redaction=patterns", "privacy.mask_training=true"]
    finish(tmp_path / "runs" / "masked", "arm=local", *masked, *PLANTED)
    _, table, _ = Leakage(candidates=16).write(tmp_path / "runs", tmp_path)
    assert [one.defence for one in read_found(table)] == ["redaction=patterns, mask_training=true"]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], "as it is"),
        (["privacy=record_dp", "privacy.epsilon=2.5"], "epsilon=2.5"),
        (["redaction=order_record", "privacy=record_dp"], "redaction=order_record, epsilon=8"),
    ],
)
def test_defences_are_named_as_they_are_set(overrides: list[str], expected: str) -> None:
    assert defence_of(to_run_config(compose_run(overrides))) == expected


def test_nothing_to_attack_and_a_bad_number_are_said(tmp_path: Path) -> None:
    finish(tmp_path / "runs" / "none", "arm=none")
    with pytest.raises(UserError, match="holds no run whose shops trained: there is nothing to attack"):
        Leakage(16).write(tmp_path / "runs", tmp_path)
    with pytest.raises(ConfigError, match=r"study\.view\.candidates=1"):
        Leakage(1)


def told(method: str, defence: str, bits: float) -> Attacked:
    estimate = Estimate(bits, bits - 1, bits + 1, 20, 2, 20)
    figure = AttackFigure("exposure", "device", "1x in the reply", estimate, 20, 0, most=9)
    ratio = AttackFigure("membership_ratio", "device", "", Estimate(0.6, None, None, 20, 2, 20), 10, 10, found=0.02)
    worth = dict.fromkeys(WORTH) | {"final_score": Estimate(0.5, 0.4, 0.6, 8, 2, 8)}
    return Attacked(method, defence, [ratio, figure], worth, Costs(9))


def test_parts_of_a_study_are_joined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = [tmp_path / "a.csv", tmp_path / "b.csv"]
    parts[0].write_text(as_csv([told("local", "epsilon=8", 1), told("aggregated (strategy=fedavg)", "epsilon=8", 2)]))
    parts[1].write_text(as_csv([told("local", "as it is", 9)]))
    assert [(one.method, one.defence) for one in joined(parts)][2] == ("local", "as it is")
    arguments = [*map(str, parts), "--output", str(tmp_path / "out")]
    assert main(arguments) == 0
    page = (tmp_path / "out" / "leakage.md").read_text()
    table = [line.split(" | ")[:2] for line in page[page.index("## Shop's") :].splitlines() if line.startswith("| `")]
    assert table[:3] == [
        ["| `local`", "as it is"],
        ["| `local`", "epsilon=8"],
        ["| `aggregated (strategy=fedavg)`", "epsilon=8"],
    ]
    assert capsys.readouterr().out.splitlines() == [
        str(tmp_path / "out" / name) for name in ("leakage.md", "leakage.csv", "frontier.svg")
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        ("a,b\n1,2\n", "is no table of what leaks"),
        ("broken", "is broken: could not convert string to float"),
        ("twice", "tells of local, as it is, as a part before it does"),
    ],
)
def test_a_part_that_is_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, message: str
) -> None:
    good, part = tmp_path / "good.csv", tmp_path / "part.csv"
    good.write_text(as_csv([told("local", "as it is", 9)]))
    if text is not None:
        whole = good.read_text()
        part.write_text({"broken": whole.replace("0.6", "six"), "twice": whole}.get(text, text))
    assert main([str(good), str(part), "--output", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
