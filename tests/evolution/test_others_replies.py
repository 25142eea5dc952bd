"""The teacher's, the human agent's and another human reply to a shop's test queries."""

from dataclasses import replace

import pytest

from ecc_fed.core.rows import SampleRow
from ecc_fed.evolution.evaluation import evaluate_pairs
from ecc_fed.evolution.others_replies import another_reply
from tests.evolution.fakes import about, courier, pair, services, settings

TEST = [pair("a", "t0", reply="发圆通"), pair("a", "t1", reply="发申通"), pair("a", "t2", reply="好的")]
TRUTH = {"a/t0": about(courier("圆通")), "a/n": about(courier("圆通"))}


def rows_of(phase: str, *, dead_teacher: bool = False, seed: int = 0) -> dict[str, list[SampleRow]]:
    given = services(dead_teacher=dead_teacher)
    training = [pair("a", "n", reply="发圆通")]
    rows = evaluate_pairs(TEST, None, phase, 2, training, TRUTH, settings(), given, seed).rows  # type: ignore[arg-type]
    found: dict[str, list[SampleRow]] = {}
    for row in rows:
        found.setdefault(row.phase, []).append(row)
    return found


def test_others_answer_once_a_run_with_the_final_evaluation() -> None:
    assert set(rows_of("base")) == {"base"}
    assert {phase: len(rows) for phase, rows in rows_of("final").items()} == {
        "final": 3, "teacher": 3, "human": 3, "other": 3,
    }  # fmt: skip


def test_the_clouds_reply_is_measured_by_facts_and_not_judged_against_itself() -> None:
    row = rows_of("final")["teacher"][0]
    assert row.reply == row.cloud_reply == "cloud q t0"
    assert (row.final_score, row.similarity, row.accepted, row.nll_nats) == (None, None, None, None)
    assert row.chrf is not None and len(row.facts) == 1 and not row.facts[0].stated
    assert "teacher" not in rows_of("final", dead_teacher=True)


def test_the_human_agents_reply_is_judged_like_any_and_states_its_facts() -> None:
    row = rows_of("final")["human"][0]
    assert row.reply == row.reference == "发圆通"
    assert row.facts[0].right and row.facts[0].taught == 1
    assert (row.chrf, row.nll_nats, row.verbatim) == (None, None, True)
    assert row.final_score is not None


def test_another_human_reply_is_judged_and_has_no_facts() -> None:
    for row in rows_of("final")["other"]:
        assert row.reply != row.reference and row.reply in {p.reply for p in TEST}
        assert (row.facts, row.chrf) == ((), None)
        assert row.final_score is not None


def test_the_other_reply_is_of_another_dialogue_and_never_the_same_text() -> None:
    same_dialogue = replace(TEST[1], session_id=TEST[0].session_id)
    assert another_reply(TEST[0], [TEST[0], same_dialogue], 0) is None
    assert another_reply(TEST[0], [TEST[0], replace(TEST[1], reply=TEST[0].reply)], 0) is None
    assert another_reply(TEST[0], TEST[:2], 0) == "发申通"


def test_the_other_reply_is_drawn_by_the_evaluations_seed_and_the_pair() -> None:
    many = [pair("a", f"t{i}", reply=f"r{i}") for i in range(30)]
    chosen = [another_reply(one, many, 3) for one in many]
    assert chosen == [another_reply(one, list(many), 3) for one in many]
    assert chosen != [another_reply(one, many, 4) for one in many]
    assert len(set(chosen)) > 10


@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_fact_tells_how_often_it_was_taught_and_since_when_it_holds(times: int) -> None:
    training = [pair("a", f"n{i}") for i in range(4)]
    truth = {f"a/n{i}": about(courier("圆通"), courier("圆通")) for i in range(times)}
    truth |= {"a/n3": about(courier("申通")), "a/t": about(replace(courier("圆通"), since=3.0))}
    asked = replace(pair("a", "t"), position=9.25)
    row = evaluate_pairs([asked], None, "base", 0, training, truth, settings(), services(), 0).rows[0]
    assert (row.facts[0].taught, row.facts[0].seen, row.facts[0].days_since_change) == (times, times > 0, 6.0)
    assert row.session_id == "s-t"
