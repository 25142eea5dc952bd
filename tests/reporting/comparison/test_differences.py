"""Verdicts by hand: who was helped, what decides nothing, and what counts as one shop."""

from dataclasses import replace

import pytest

from ecc_fed.core.errors import UserError
from ecc_fed.core.rows import write_rows
from ecc_fed.reporting.comparison.differences import baseline_arm
from ecc_fed.reporting.comparison.findings import find
from ecc_fed.reporting.comparison.sentences import sentences
from ecc_fed.reporting.comparison.tables import verdict_row
from ecc_fed.reporting.study import load_study
from tests.reporting.comparison.conftest import answers

# By shop, of twenty questions: the first eight got right; the first eight got wrong; five of twenty; none.
BASE = [0] * 8 + [1] * 12
HELPED = [1] * 20
HURT = [0] * 16 + [1] * 4
FIVE = [1] * 5 + [0] * 3 + [1] * 12


def facts(findings):
    (found,) = findings.of_outcome()
    return found


@pytest.fixture
def four_shops(known_run):
    known_run("local", 0, dict.fromkeys("abcd", BASE))
    known_run("aggregated", 0, {"a": HELPED, "b": HURT, "c": FIVE, "d": BASE})


def test_every_shop_gets_its_verdict(four_shops, tmp_path):
    found = facts(find(load_study([tmp_path])))
    assert {one.shop.shop_id: one.effect for one in found.shops} == {
        "a": "helped", "b": "hurt", "c": "undecided", "d": "undecided",
    }  # fmt: skip
    assert found.text == "helped 1 of 4, hurt 1, undecided 2"
    assert [one.differing for one in found.shops] == [8, 8, 5, 0]
    assert [one.estimate.mean for one in found.shops] == pytest.approx([0.4, -0.4, 0.25, 0.0])
    # Five dialogues that all point one way lie above zero and decide nothing all the same.
    assert found.shops[2].estimate.low > 0
    assert found.overall.mean == pytest.approx((8 - 8 + 5) / 80)
    assert (found.overall.n, found.overall.shops, found.overall.dialogues) == (80, 4, 80)
    assert found.overall.low < 0 < found.overall.high


def test_console_and_table_say_the_same(four_shops, tmp_path):
    findings = find(load_study([tmp_path]))
    local, aggregated = sentences(findings)
    assert local.text.startswith("local: 60.0% [") and "local (" not in local.text
    assert aggregated.text.startswith("aggregated: 66.2% [") and "; level with local (+6.2 [" in aggregated.text
    assert aggregated.text.endswith("; shops: helped 1 of 4, hurt 1, undecided 2.") and not aggregated.telling
    title, texts = verdict_row(findings)
    assert title == "Against local"
    assert texts == {"aggregated": "helped 1 of 4,\nhurt 1,\nundecided 2"}


def test_the_other_way_round_help_is_hurt(four_shops, tmp_path):
    found = facts(find(load_study([tmp_path]), "aggregated"))
    assert (found.group.arm, found.baseline.arm) == ("local", "aggregated")
    assert found.text == "helped 1 of 4, hurt 1, undecided 2"
    assert {one.shop.shop_id: one.effect for one in found.shops}["a"] == "hurt"


def test_a_right_answer_in_a_dialogue_for_a_wrong_one_in_it_makes_no_difference(known_run, tmp_path):
    known_run("local", 0, {"a": [0, 1] * 10})
    root = known_run("aggregated", 0, {"a": [1, 0] * 10})
    assert facts(find(load_study([tmp_path]))).shops[0].differing == 20
    for folder in (root, tmp_path / "local0"):
        rights = [1, 0] * 10 if folder == root else [0, 1] * 10
        rows = answers(0, "a", rights)
        paired = [replace(each, session_id=f"d{number // 2}") for number, each in enumerate(rows)]
        write_rows(folder / "samples.jsonl", paired)
    found = facts(find(load_study([tmp_path]))).shops[0]
    assert (found.differing, found.effect, found.estimate.dialogues) == (0, "undecided", 10)


def test_seeds_with_worlds_of_their_own_have_shops_of_their_own(known_run, tmp_path):
    for seed in (0, 1):
        known_run("local", seed, {"a": BASE, "b": BASE})
        known_run("aggregated", seed, {"a": HELPED, "b": BASE})
    findings = find(load_study([tmp_path]))
    found = facts(findings)
    assert found.text == "helped 2 of 4, hurt 0, undecided 2"
    assert [findings.worlds[0].shop_label(one.shop) for one in found.shops] == [
        "a, seed 0", "b, seed 0", "a, seed 1", "b, seed 1",
    ]  # fmt: skip
    assert found.overall.shops == 4


def test_seeds_that_share_shops_and_dialogues_are_no_further_evidence(known_run, tmp_path):
    """Five dialogues that differ stay five, however many seeds say so."""
    for seed in (0, 1, 2):
        known_run("local", seed, {"a": BASE, "b": BASE}, same=True)
        known_run("aggregated", seed, {"a": HELPED, "b": FIVE}, same=True)
    found = facts(find(load_study([tmp_path])))
    assert [(one.shop.seed, one.shop.shop_id, one.effect, one.differing) for one in found.shops] == [
        (None, "a", "helped", 8), (None, "b", "undecided", 5),
    ]  # fmt: skip
    assert found.shops[0].estimate.n == 60
    assert found.shops[0].estimate.dialogues == 20
    assert (found.overall.shops, found.overall.dialogues) == (None, 40)


def test_where_seeds_deal_dialogues_out_anew_every_seed_has_its_shops(known_run, tmp_path):
    for seed, rights in ((0, {"a": BASE, "b": BASE}), (1, {"b": BASE, "a": BASE})):
        for arm in ("local", "aggregated"):
            root = known_run(arm, seed, rights, same=True)
            if seed:  # the dialogues of a are b's now
                swapped = {"a": "b", "b": "a"}
                rows = [each for shop in "ab" for each in answers(seed, shop, BASE, same=True)]
                moved = [replace(each, shop_id=swapped[each.shop_id]) for each in rows]
                write_rows(root / "samples.jsonl", moved)
    findings = find(load_study([tmp_path]))
    assert not findings.worlds[0].pooled
    assert len(facts(findings).shops) == 4
    assert facts(findings).overall.shops is None


def test_questions_that_were_answered_otherwise_by_the_agent_are_not_the_same(known_run, tmp_path):
    known_run("local", 0, {"a": BASE})
    root = known_run("aggregated", 0, {"a": HELPED})
    rows = answers(0, "a", HELPED)
    write_rows(
        root / "samples.jsonl", [replace(each, reference="other") if n < 3 else each for n, each in enumerate(rows)]
    )
    findings = find(load_study([tmp_path]))
    assert (facts(findings).unpaired, facts(findings).overall.n) == (3, 17)


def test_queries_without_a_like_are_left_out_and_counted(known_run, tmp_path):
    known_run("local", 0, {"a": BASE[:15]})
    known_run("aggregated", 0, {"a": HELPED})
    found = facts(find(load_study([tmp_path])))
    assert (found.unpaired, found.overall.n) == (5, 15)


def test_the_baseline_is_local_or_the_first_or_whom_one_names(known_run, tmp_path):
    known_run("none", 0, {"a": BASE})
    known_run("personalized", 0, {"a": HELPED})
    study = load_study([tmp_path])
    assert baseline_arm(study) == "none"
    assert baseline_arm(study, "personalized") == "personalized"
    with pytest.raises(
        UserError, match=r"No run has the arm lokal to compare with\. Arms of these runs: none, personalized"
    ):
        find(study, "lokal")
    known_run("local", 0, {"a": BASE})
    assert baseline_arm(load_study([tmp_path])) == "local"


def test_worlds_are_compared_each_by_itself(known_run, tmp_path):
    for share in (0.0, 0.5):
        for arm, rights in (("local", BASE), ("aggregated", HELPED if share else HURT)):
            known_run(arm, 0, {"a": rights}, name=f"{arm}{share}", platform_share=share)
    findings = find(load_study([tmp_path]))
    assert [world.label for world in findings.worlds] == ["platform_share=0", "platform_share=0.5"]
    assert [found.text for found in findings.of_outcome()] == [
        "helped 0 of 1, hurt 1, undecided 0", "helped 1 of 1, hurt 0, undecided 0",
    ]  # fmt: skip
