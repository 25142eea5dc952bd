"""From a run with planted secrets to the table of what its adapters tell, on the embedded models."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecc_fed.assembly.build import build_end_model
from ecc_fed.cli.main import main
from ecc_fed.core.records import Example, Pair, PseudoLabel, Shop
from ecc_fed.core.rows import AttackRow, read_rows
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.core.statistics import area_under_curve
from ecc_fed.core.truth import PrivateValue, Truth
from ecc_fed.evolution.shop_state import ShopState
from ecc_fed.runs import attack as attacking
from ecc_fed.runs.attacking import extraction, shadows
from ecc_fed.runs.attacking.victims import Victim, victims
from ecc_fed.runs.finished_run import open_run, trained_corpus
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


def test_another_shops_questions_find_values_in_the_adapter_and_none_in_the_control(finished: RunDirectory) -> None:
    assert main(["attack", str(finished.root), "--candidates", "8"]) == 0
    rows = list(read_rows(finished.attacks / "rows.jsonl", AttackRow))
    for target in ("base", "device", "other_shop"):
        covered, replies = of(rows, "coverage", target), of(rows, "efficiency", target)
        planted = [row for row in covered if row.kind == "greedy, planted"]
        assert len(planted) == 4, "two secrets in each of two shops"
        assert {row.kind for row in replies} == {"greedy", "4 draws"}
        counts = [len([row for row in replies if row.kind == kind]) for kind in ("greedy", "4 draws")]
        assert counts[1] == 4 * counts[0]
        # A reply that says a value covers it, and no value is covered without a reply.
        for kind in ("greedy", "4 draws"):
            found = any(row.score for row in covered if row.kind.startswith(kind))
            assert found == any(row.score for row in replies if row.kind == kind)
    assert not any(row.score for row in rows if row.attack in ("coverage", "efficiency") and row.target == "base")
    # Twelve times over, the shop's own adapter tells whoever asks as its customers did.
    assert sum(row.score for row in of(rows, "coverage", "device")) > 0


def test_values_that_the_asking_shop_has_itself_are_no_find_and_questions_with_private_answers_come_first() -> None:
    def told(name: str, query: str, reply: str) -> Pair:
        return replace(pair("a", name), query=query, reply=reply)

    def of_value(value: str) -> Truth:
        return Truth(private_values=(PrivateValue("name", value, ("reply",)),))

    shop = Shop("a", (told("h0", "who", "王伟"), told("h1", "who", "李芳"), told("h2", "who", "刘静")), (), ())
    other = Shop("b", (told("o0", "first", "hello"), told("o1", "second", "张敏"), told("o2", "李芳呢", "x")), (), ())
    truth = {f"a/h{n}": of_value(value) for n, value in enumerate(("王伟", "李芳", "刘静"))}
    state = ShopState("a", 1, {}, natural_ids=("a/h0", "a/h1"))
    other_truth = {"a/o1": of_value("张敏")}
    victim = Victim(shop, truth, state, {}, other, other_truth)
    assert list(extraction.values_to_find(victim)) == ["王伟"], "one is the other's too, one was never learned"
    assert [prompt[-1].text for prompt in extraction.questions_of(other, other_truth)] == ["second", "first", "李芳呢"]


def test_shadows_never_see_the_shop_that_they_stand_beside_and_tell_members(
    finished: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["attack", str(finished.root), "--candidates", "8", "--shadows", "1"]) == 0
    assert "2 shadow adapters for LiRA were trained in" in capsys.readouterr().out
    rows = list(read_rows(finished.attacks / "rows.jsonl", AttackRow))
    for target in ("base", "device", "other_shop"):
        ratios, scores = of(rows, "membership_ratio", target), of(rows, "membership_lira", target)
        assert [(row.item, row.member) for row in scores] == [(row.item, row.member) for row in ratios]
        assert len(of(rows, "membership_min_k", target)) == len(scores)

    def auc(target: str) -> float | None:
        found = of(rows, "membership_lira", target)
        return area_under_curve([row.score for row in found], [bool(row.member) for row in found])

    assert (auc("device") or 0) > 0.6 and abs((auc("base") or 0) - 0.5) < 0.25
    run = open_run(finished.root)
    config, corpus = trained_corpus(run, run.shop_ids, "nothing")
    found = list(victims(run, config, corpus))
    model = build_end_model(config)
    trained = shadows.train_shadows(found, config, model, 2)
    again = shadows.train_shadows(found, config, model, 2)
    assert [set(each.shop_ids) for each in trained.shadows[:2]] in (
        [{"shop_0000"}, {"shop_0001"}], [{"shop_0001"}, {"shop_0000"}],
    )  # fmt: skip
    for one, other in zip(trained.shadows, again.shadows, strict=True):
        assert one.shop_ids == other.shop_ids
        assert all(np.array_equal(one.adapter[name], other.adapter[name]) for name in one.adapter)
    first = trained.shadows[0]
    for victim in found:
        texts = shadows._texts_of(found, first.shop_ids)
        hidden = {Example(pair.prompt, pair.reply) for pair in victim.pairs_to_tell()[0]}
        if victim.shop.shop_id not in first.shop_ids:
            assert texts and not hidden & set(texts)
            out = trained.logits(model, victim.shop.shop_id, victim.pairs_to_tell()[0])
            assert out is not None and out.shape == (2, len(victim.pairs_to_tell()[0])) and not (out[0] == out[1]).all()
        else:
            assert hidden & set(texts)
    assert shadows.train_shadows(found[:1], config, model, 2).shadows == (), "nobody else has data"


def test_secrets_in_pseudo_labels_are_learned_from_the_cloud(tmp_path: Path) -> None:
    options = ["corpus.canaries=[3]", "corpus.canary_place=everywhere", "finetune.steps=20", "arm=local"]
    directory = finish(tmp_path / "run", *options, "finetune.learning_rate=1e-2")
    run = open_run(directory.root)
    config, corpus = trained_corpus(run, run.shop_ids, "nothing")
    for victim in victims(run, config, corpus):
        secrets = [canary.secret for _, canary in victim.planted() if canary.said_in == "pseudo_label"]
        assert len(secrets) == 1 and any(secrets[0] in label.reply for label in victim.state.pseudo_labels)
        assert not any("canary" in each.pair_id for each in victim.pairs_to_tell()[0])
    assert main(["attack", str(directory.root), "--candidates", "8"]) == 0
    rows = list(read_rows(directory.attacks / "rows.jsonl", AttackRow))
    kinds = {row.kind for row in of(rows, "exposure", "device")}
    assert kinds == {"3x in the reply", "3x in the query", "3x in the pseudo_label"}
    asked = {row.kind for row in of(rows, "extraction", "device") if "secret" in row.kind}
    assert asked == {"secret said 3x", "secret said 3x by the cloud"}


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
    victim = Victim(Shop("a", history, stream, ()), {}, state, {})
    pairs, members = victim.pairs_to_tell()
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
        (["a", "--shadows", "0"], "--shadows 0: give a number from 1 to 1,000"),
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
