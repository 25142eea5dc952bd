"""chrF without weights: sacrebleu's as the independent reference, and what it must not depend on."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.chrf import CHRF

from ecc_fed.assembly.build import build_judge
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.core.errors import ConfigError
from ecc_fed.judging.lexical import CharacterNgrams

_LETTERS = st.text(alphabet="abcd0", min_size=1, max_size=30)


@given(_LETTERS, _LETTERS, st.integers(1, 6))
def test_it_is_sentence_chrf_with_beta_one(left: str, right: str, max_order: int) -> None:
    expected = CHRF(char_order=max_order, beta=1).sentence_score(left, [right]).score / 100
    assert CharacterNgrams(max_order).similarity([left], [right])[0] == pytest.approx(expected, abs=1e-6)


@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), min_size=1, max_size=6))
def test_a_pair_is_scored_alike_alone_turned_round_and_in_any_company(pairs: list[tuple[str, str]]) -> None:
    judge, (left, right) = CharacterNgrams(), zip(*pairs, strict=True)
    scores = judge.similarity(left, right)
    assert scores.dtype == np.float32
    assert ((scores >= 0) & (scores <= 1)).all()
    assert [judge.similarity([a], [b])[0] for a, b in pairs] == scores.tolist()
    assert judge.similarity(right, left).tolist() == pytest.approx(scores.tolist(), abs=1e-6)


def test_by_hand() -> None:
    judge = CharacterNgrams(max_order=2)
    # Letters 2 of 3 and of 2, pairs 1 of 2 and of 1: P = 7/12, R = 1.
    assert judge.similarity(["发中通"], ["中通"])[0] == pytest.approx(2 * (7 / 12) / (1 + 7 / 12))
    assert judge.similarity(["Ｄ ＨＬ！"], ["dhl"])[0] == 1.0
    assert judge.similarity(["", "~~", "好"], ["好", "~~", "坏"]).tolist() == [0.0, 0.0, 0.0]
    assert judge.relevance(["发中通吗"], ["发中通"])[0] == judge.similarity(["发中通吗"], ["发中通"])[0]


def test_it_reads_chinese_and_english_alike() -> None:
    right = CharacterNgrams().similarity(
        ["发中通快递的哦", "We ship with DHL"], ["亲，发中通快递", "it ships by DHL, dear"]
    )
    wrong = CharacterNgrams().similarity(
        ["退货有运费险", "The pot holds two litres"], ["亲，发中通快递", "it ships by DHL, dear"]
    )
    assert (right > wrong + 0.1).all()


def test_thousands_of_pairs_take_a_second_or_so() -> None:
    replies = [f"亲，这款{number}号锅{number * 7}元，拍下后48小时内发货，默认发中通快递哦" for number in range(2000)]
    started = time.process_time()
    CharacterNgrams().similarity(replies, replies[::-1])
    assert time.process_time() - started < 2.0


def test_an_order_out_of_range_and_sides_of_unlike_length_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"max_order=0 is out of range"):
        CharacterNgrams(0)
    with pytest.raises(ValueError, match="as many left as right"):
        CharacterNgrams().similarity(["a"], [])


def test_the_preset_scores_by_eq_1_over_it() -> None:
    config = to_run_config(compose_run(["judge=lexical"]))
    assert config.judge.languages is None
    found = build_judge(config).judge(["发什么快递"], ["发中通快递"], ["亲，中通快递哦"])[0]
    judge = CharacterNgrams()
    similarity = judge.similarity(["发中通快递"], ["亲，中通快递哦"])[0]
    relevance = judge.relevance(["发什么快递"], ["发中通快递"])[0]
    assert found.relevance_trusted
    assert found.final_score == pytest.approx(0.8 * similarity + 0.2 * relevance, abs=1e-6)
    assert found.accepted
