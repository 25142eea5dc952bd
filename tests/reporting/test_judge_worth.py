"""What the judge is worth, on made-up rows whose figures are known."""

from dataclasses import replace

import pytest
from sacrebleu.metrics.chrf import CHRF

from ecc_fed.core.rows import FactRow, JudgeInfo, SampleRow, write_record, write_rows
from ecc_fed.core.statistics import spearman
from ecc_fed.reporting.judge_worth import JudgeWorth, judge_worth
from ecc_fed.reporting.page.html import render
from ecc_fed.reporting.page.judging import lines
from ecc_fed.reporting.run import load_run
from ecc_fed.reporting.study import load_study
from ecc_fed.reporting.summary import summarise

FACT = FactRow("k", "courier", "shop", ("中通",), True, 2, None, True, (), ())


def rows_of(make_run, phase: str, scores: list[float], **changes: object) -> list[tuple[int, SampleRow]]:
    """Rows of one phase over two shops, a dialogue each, by their final scores; relevance is a constant."""
    first = load_run(make_run(f"template-{phase}-{len(scores)}-{len(changes)}")).samples[0]
    given = {"phase": phase, "extra": False, "facts": (), "relevance": 0.5, "accepted": True, **changes}
    found = []
    for i, score in enumerate(scores):
        place = {"shop_id": f"shop_{i % 2}", "pair_id": str(i), "session_id": str(i)}
        found.append((0, replace(first, **place, similarity=score, final_score=score, **given)))
    return found


def test_areas_hold_the_human_replies_against_those_of_other_dialogues(make_run) -> None:
    human, other = rows_of(make_run, "human", [0.9, 0.6, 0.5]), rows_of(make_run, "other", [0.1, 0.5, 0.55])
    worth = judge_worth([], human, other, seed=0)
    assert worth.similarity_auc is not None and worth.relevance_auc is not None and worth.human_score is not None
    # 3 + 3 + (1 + half a tie) of 9.
    assert worth.similarity_auc.mean == worth.score_auc.mean == pytest.approx(7.5 / 9)  # type: ignore[union-attr]
    assert worth.relevance_auc.mean == 0.5
    assert worth.human_score.mean == pytest.approx(2 / 3)
    assert (worth.judged, worth.wrong_accepted, worth.chrf_to_human) == (0, None, None)


def test_wrong_replies_are_those_with_a_wrong_fact_and_no_others(make_run) -> None:
    wrong, right = replace(FACT, stated=False), FACT
    own = [
        *rows_of(make_run, "final", [0.9, 0.8], facts=(wrong,)),
        *rows_of(make_run, "final", [0.2, 0.1, 0.3], facts=(right, wrong), accepted=False),
        *rows_of(make_run, "final", [0.9, 0.7, 0.6, 0.5], facts=(right,)),
        *rows_of(make_run, "final", [0.9], facts=()),
    ]
    worth = judge_worth(own, [], [], seed=0)
    assert worth.wrong_accepted is not None
    assert (worth.wrong_accepted.mean, worth.wrong_accepted.n) == (pytest.approx(2 / 5), 5)
    assert (worth.similarity_auc, worth.human_score, worth.judged) == (None, None, 10)


def test_agreement_is_with_chrf_to_the_human_and_to_the_cloud(make_run) -> None:
    scores, chrf = [0.1, 0.4, 0.3, 0.9], [10.0, 20.0, 30.0, 40.0]
    replies = ["发圆通", "发中通", "中通快递哦", "默认中通快递哦"]
    own = [
        (seed, replace(row, chrf=number, reply=reply, cloud_reply="默认中通快递哦"))
        for (seed, row), number, reply in zip(rows_of(make_run, "final", scores), chrf, replies, strict=True)
    ]
    worth = judge_worth(own, [], [], seed=0)
    to_cloud = [CHRF().sentence_score(reply, ["默认中通快递哦"]).score for reply in replies]
    assert worth.chrf_to_human == pytest.approx(spearman(scores, chrf)) == pytest.approx(0.8)
    assert worth.chrf_to_cloud == pytest.approx(spearman(scores, to_cloud))


def test_withheld_scores_are_worth_nothing_and_say_so(make_run) -> None:
    blind = {"similarity": None, "final_score": None, "accepted": None, "relevance": None}
    human, own = (
        [(seed, replace(row, **blind)) for seed, row in rows_of(make_run, phase, [0.5] * 3)]
        for phase in ("human", "final")
    )
    assert judge_worth(own, human, human, 0) == JudgeWorth(None, None, None, None, None, None, None, 0)


def test_page_console_and_summary_name_the_judge_with_its_areas(make_run) -> None:
    root = make_run("r")
    human = [row for _, row in rows_of(make_run, "human", [0.9, 0.6, 0.5])]
    other = [row for _, row in rows_of(make_run, "other", [0.1, 0.2, 0.3])]
    run = load_run(root)
    write_rows(root / "samples.jsonl", [*(run.samples or ()), *human, *other])
    judge = JudgeInfo("CharacterNgrams", "CharacterNgrams", None, "zh", None, 0.65)
    write_record(root / "run.json", replace(run.info, judge=judge))
    worth = summarise(root)["judge_worth"]
    assert (worth["similarity_auc"]["mean"], worth["similarity_auc"]["replies"]) == (1.0, 6)
    study = load_study([root])
    (line,) = lines(study)
    assert line.startswith(
        "local: the judge (character ngrams) tells a human agent's reply from that of another dialogue"
    )
    assert "1.00 [1.00, 1.00] by similarity and 0.50 [0.50, 0.50] by relevance" in line
    assert "Which judge, and what it is worth here" in render(study)
