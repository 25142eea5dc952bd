import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.corpus.formats.ecd import join_words, read_ecd
from tests.corpus.dialogue_files import ecd_text, sessions_of, written


@pytest.mark.parametrize(
    ("split", "joined"),
    [
        ("我 要 iPhone 12 Pro 一 台", "我要iPhone 12 Pro一台"),
        ("属于 打 95 折 的 商品", "属于打95折的商品"),
        ("15 : 00 之前 付款", "15:00之前付款"),
        ("3 - 5 天", "3-5天"),
        ("A 套餐", "A套餐"),
        ("Hello , nice to meet you 亲", "Hello, nice to meet you亲"),
        ("café au lait", "café au lait"),
        ("亲", "亲"),
        ("好 的\t在 吗", "好的\t在吗"),
    ],
)
def test_words_are_joined_next_to_chinese_and_kept_apart_in_latin(split, joined):
    assert join_words(split) == joined


@given(st.lists(st.text("甲乙丙，。abcXYZ019.:-,%", min_size=1, max_size=5), min_size=1, max_size=12).map(" ".join))
def test_joining_drops_spaces_only_and_none_stays_next_to_chinese(text):
    joined = join_words(text)
    assert joined.replace(" ", "") == text.replace(" ", "")
    assert join_words(joined) == joined
    padded = f"甲{joined}甲"
    for i, character in enumerate(padded):
        if character == " ":
            assert padded[i - 1].isascii()
            assert padded[i + 1].isascii()


def test_speakers_follow_from_the_response(tmp_path):
    path = written(tmp_path, "1\t亲 在 吗\t在 的\t发 货 吗\t发 的 呢\n1\t您好\t请问 包邮 吗\t包邮 的\n")
    sessions, _ = sessions_of(read_ecd, path, "ecd")
    assert sessions[0].by_agent == [False, True, False, True]
    assert sessions[1].by_agent == [True, False, True]
    assert sessions[1].texts == ["您好", "请问包邮吗", "包邮的"]
    assert [session.line_number for session in sessions] == [1, 2]


def test_label_0_is_dropped_and_counted(tmp_path):
    sessions, log = sessions_of(read_ecd, written(tmp_path, ecd_text(5)), "ecd")
    assert len(sessions) == 5
    assert log.lines == 10
    assert log.dropped == {"label_0": 5}


def test_lines_of_a_growing_context_are_one_session(tmp_path):
    lines = [
        "1\t甲\t乙",
        "0\t甲\t错",
        "1\t甲\t乙\t丙\t丁",
        "0\t甲\t乙\t丙\t错",
        "1\t甲\t乙\t丙\t丁\t戊\t己",
        "1\t甲 一\t乙",  # begins with the same letters, is another chat
    ]
    sessions, log = sessions_of(read_ecd, written(tmp_path, "\n".join(lines) + "\n"), "ecd")
    assert [session.texts for session in sessions] == [["甲", "乙", "丙", "丁", "戊", "己"], ["甲一", "乙"]]
    assert log.dropped == {"label_0": 2}


def test_a_second_answer_and_a_repeated_line_start_no_session(tmp_path):
    lines = ["1\t甲\t乙", "1\t甲\t乙", "1\t甲\t丙", "1\t甲\t丙\t丁\t戊", "1\t别\t的"]
    sessions, log = sessions_of(read_ecd, written(tmp_path, "\n".join(lines)), "ecd")
    assert [session.texts for session in sessions] == [["甲", "丙", "丁", "戊"], ["别", "的"]]
    assert log.dropped == {"repeated_line": 1, "alternative_reply": 2}


def test_broken_lines_are_counted_with_number_and_reason(tmp_path):
    good = ecd_text(10)
    broken = "2\t甲\t乙\n1\t甲\n1\t\t乙\n1\t甲\t\n没有标签\n"
    _, log = sessions_of(read_ecd, written(tmp_path, good + broken), "ecd")
    assert [line.number for line in log.broken_lines] == [21, 22, 23, 24, 25]
    reasons = [line.reason for line in log.broken_lines]
    assert "label 0 or 1" in reasons[0]
    assert reasons[1:4] == ["2 columns instead of 3 or more", "holds no context", "holds no response"]
    assert log.dropped["broken"] == 5
