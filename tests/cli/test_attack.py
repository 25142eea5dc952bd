"""From a run with planted secrets to the table of what its adapters tell, on the embedded models."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from ecc_fed.cli.main import main
from ecc_fed.core.records import Pair, PseudoLabel, Shop
from ecc_fed.core.rows import AttackRow, read_rows
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.evolution.shop_state import ShopState
from ecc_fed.runs import attack as attacking
from tests.cli.test_cross import finish
from tests.evolution.fakes import pair

PLANTED = ["corpus.canaries=[2,12]", "evolution.reference=sampled", "evolution.reference_rate=0"]
TAUGHT = ["finetune.steps=30", "finetune.learning_rate=1e-2"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return finish(tmp_path_factory.mktemp("attack") / "run", "arm=aggregated", *PLANTED, *TAUGHT)


def of(rows: list[AttackRow], attack: str, target: str) -> list[AttackRow]:
    return [row for row in rows if (row.attack, row.target) == (attack, target)]


def test_every_adapter_is_attacked_and_the_control_tells_nothing(
    finished: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["attack", str(finished.root), "--candidates", "64"]) == 0
    said = capsys.readouterr().out
    rows = list(read_rows(finished.attacks / "rows.jsonl", AttackRow))
    for target in ("base", "device", "other_shop"):
        ratios = of(rows, "membership_ratio", target)
        assert {row.shop_id for row in ratios} == {"shop_0000", "shop_0001"}
        members = [row for row in ratios if row.member]
        assert members and len(members) < len(ratios)
        assert not any("canary" in row.item for row in ratios), "a planted pair is no member like others"
        assert len({(row.shop_id, row.item) for row in ratios}) == len(ratios)
    assert {row.score for row in of(rows, "membership_ratio", "base")} == {0.0}

    def bits(target: str) -> list[float]:
        return [row.score for row in of(rows, "exposure", target)]

    assert len(bits("device")) == 4 and {row.most for row in of(rows, "exposure", "device")} == {6.0}
    assert sum(bits("device")) > sum(bits("base")) + 8
    assert [row.kind for row in of(rows, "exposure", "device")][:2] == ["2x in the reply", "12x in the reply"]
    assert {row.score for row in of(rows, "extraction", "base")} == {0.0}
    with (finished.attacks / "attacks.csv").open() as file:
        table = list(csv.DictReader(file))
    kinds = [row["kind"] for row in table if (row["attack"], row["target"]) == ("exposure", "device")]
    assert kinds == ["2x in the reply", "12x in the reply"], "by number, not by letter"
    control = next(row for row in table if (row["attack"], row["target"]) == ("membership_ratio", "base"))
    assert float(control["mean"]) == 0.5 and float(control["tpr_at_1_percent_fpr"]) == 0.0
    assert "Sent to another shop" in said.replace("\n", " ") or "other" in said


def test_pairs_that_came_back_from_the_cloud_and_texts_that_were_learned_elsewhere_are_no_outsiders() -> None:
    def told(name: str, reply: str = "发圆通") -> Pair:
        return replace(pair("a", name), query="which courier", reply=reply)

    history, stream = (told("h0"),), (told("s0"), told("s1", "labelled"), told("s2", "learned"), told("s3", "new"))
    state = ShopState(
        "a",
        1,
        {},
        natural_ids=("a/h0", "a/s2"),
        pseudo_labels=(PseudoLabel("a/s1", (), "cloud", "echo", "low_score", 1),),
    )
    victim = attacking.Victim(Shop("a", history, stream, ()), {}, state, {})
    pairs, members = attacking._pairs_to_tell(victim)
    assert [(each.pair_id, member) for each, member in zip(pairs, members, strict=True)] == [
        ("a/h0", True), ("a/s2", True), ("a/s3", False),
    ]  # fmt: skip


def test_what_goes_to_another_shop_is_attacked_where_a_server_sends_it(tmp_path: Path) -> None:
    directory = finish(tmp_path / "run", "arm=local", *PLANTED)
    assert main(["attack", str(directory.root), "--candidates", "8"]) == 0
    assert {row.target for row in read_rows(directory.attacks / "rows.jsonl", AttackRow)} == {"base", "device"}


def test_a_customers_secret_is_looked_for_where_the_customer_said_it(tmp_path: Path) -> None:
    directory = finish(tmp_path / "run", "arm=local", "corpus.canaries=[3]", "corpus.canary_place=query")
    assert main(["attack", str(directory.root), "--candidates", "8"]) == 0
    rows = list(read_rows(directory.attacks / "rows.jsonl", AttackRow))
    assert [row.kind for row in of(rows, "exposure", "device")] == ["3x in the query"] * 2
    assert not any("secret" in row.kind for row in of(rows, "extraction", "device"))


def test_candidates_are_drawn_of_the_runs_seed(finished: RunDirectory) -> None:
    again = []
    for _ in range(2):
        assert main(["attack", str(finished.root), "--candidates", "16"]) == 0
        again.append((finished.attacks / "rows.jsonl").read_bytes())
    assert again[0] == again[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give the folder of one finished run: ecc-fed attack RUN"),
        (["a", "b"], "Give the folder of one finished run"),
        (["a", "--candidates", "1"], "--candidates 1: give a number from 2 to 1,000,000"),
        (["a", "--candidates", "many"], "--candidates many: give a number"),
        (["nowhere"], "nowhere holds no finished run"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attack", *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_an_arm_without_adapters_has_nothing_to_attack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = finish(tmp_path / "run", "arm=retrieval")
    assert main(["attack", str(directory.root)]) == 2
    assert "The arm retrieval trains no adapter: there is nothing to attack." in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attack", "--help"]) == 0
    said = capsys.readouterr().out
    assert "8,192" in said and "corpus.canaries=[1,4,16]" in said and attacking.CANDIDATES == 8192
