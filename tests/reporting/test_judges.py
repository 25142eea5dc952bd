"""What is said of a judge that could not judge."""

from dataclasses import replace
from pathlib import Path

from ecc_fed.core.rows import JudgeInfo, ShopRelevance, write_record
from ecc_fed.reporting.judges import judge_notes, study_notes
from ecc_fed.reporting.page.html import render
from ecc_fed.reporting.run import load_run
from ecc_fed.reporting.study import load_study
from ecc_fed.reporting.summary import summarise

JUDGE = JudgeInfo("EncoderSimilarity embedded", "CrossEncoderRelevance embedded", ("zh",), "zh", None, 0.65)


def _told(root: Path, judge: JudgeInfo | None) -> Path:
    write_record(root / "run.json", replace(load_run(root).info, judge=judge))
    return root


def test_an_able_judge_and_an_older_run_need_no_words(make_run) -> None:
    used = {"a": ShopRelevance(0.9, 20, True)}
    for judge in (None, JUDGE, replace(JUDGE, shops=used)):
        assert judge_notes(load_run(_told(make_run(f"r{id(judge)}"), judge)).info) == []


def test_withheld_scores_are_said_on_page_console_and_summary(make_run) -> None:
    why = "The judge reads zh, and the dialogues are en: every score is withheld. Set judge=lexical"
    root = _told(make_run("r"), replace(JUDGE, withheld_reason=why, shops={"a": ShopRelevance(0.1, 20, False)}))
    assert summarise(root)["notes"][0] == why
    assert summarise(root)["judge"]["withheld_reason"] == why
    study = load_study([root])
    assert study_notes(study) == [f"local, seed 0: {why}"]
    assert "every score is withheld" in render(study)


def test_shops_that_leave_relevance_out_are_counted_with_their_areas(make_run) -> None:
    shops = {
        "a": ShopRelevance(0.5, 20, False),
        "b": ShopRelevance(0.584, 30, False),
        "c": ShopRelevance(0.8, 30, True),
        "d": ShopRelevance(None, 4, True),
    }
    left_out, kept = judge_notes(load_run(_told(make_run("r"), replace(JUDGE, shops=shops))).info)
    assert "left out of the score in 2 of 4 shops: its AUC on their own dialogues is 0.50 to 0.58" in left_out
    assert "judge.relevance_min_auc=0.65" in left_out
    assert kept.startswith("Relevance is kept in 1 of 4 shops without a measurement")
