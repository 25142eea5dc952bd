"""Long input made to be slow: every size here takes minutes or hours where the work grows with its square."""

import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.corpus.cleaning.notices import NoticeRules
from ecc_fed.corpus.cleaning.sessions import clean_characters, clean_session
from ecc_fed.corpus.partition.natural import _folder_names

_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,80}>")
_SIGNS = st.sampled_from(["<", ">", "a", "/", "\n", "3", "<a>", "b" * 40, "x y", "</b>"])


@given(st.lists(_SIGNS, max_size=40).map("".join))
def test_tags_go_the_inner_ones_first_until_none_is_left(text: str) -> None:
    expected = text
    while (plain := _TAG.sub(" ", expected)) != expected:
        expected = plain
    assert clean_characters(text, Counter()) == re.sub(" {2,}", " ", expected)


def test_nested_tags() -> None:
    n = 200_000
    assert clean_characters("x" + "<a" * n + ">" * n + "y", Counter()) == "x y"
    assert clean_characters("<" * n + "a" + ">" * n, Counter()) == "<" * (n - 1) + " " + ">" * (n - 1)


def test_beginnings_of_cards() -> None:
    for beginning in ("订单编号:", "[订单编号:", "咨询订单号:", "咨询订单号: 商品ID: ", "订单编号: ", "顾客通过点击"):
        text = beginning * 20_000
        assert len(NoticeRules().cut_cards(text, Counter())) <= len(text)


def test_lines_that_are_nearly_scripted() -> None:
    rules = NoticeRules()
    for piece in ("请稍等", "我们我", "帮您您您", "祝您", "两到三", "您好，", "(移动", "不周", "聊天框“", "还有其他帮"):
        for text in (piece * 40_000, (piece * 30 + "退 ") * 1_000 + "退"):
            for by_agent in (True, False):
                assert len(rules.cut(text, by_agent, Counter())) <= len(text)


def test_a_card_with_long_fields_is_cut() -> None:
    text = f"你好 咨询订单号: 123 商品名称: {'很长' * 90} 订单金额: ￥59.9 在吗"
    assert NoticeRules().cut_cards(text, Counter()).split() == ["你好", "在吗"]


def test_turns_of_one_speaker() -> None:
    n = 300_000
    said = [f"问{'题' * 50}{i}" for i in range(n)]
    dropped: Counter[str] = Counter()
    first, turns = clean_session([False] * n + [True], [*said, "好的"], NoticeRules(), dropped, Counter())
    assert (first, turns) == (False, [" ".join(said), "好的"]) and dropped == {"merged": n - 1}


def test_shop_names_that_differ_late() -> None:
    names = [f"{'店' * 70}{i}" for i in range(30_000)]
    found = _folder_names([*names, f"{'店' * 60}-3", "A", "a", "a-2"])
    assert len({folder.casefold() for folder in found.values()}) == len(names) + 4
    assert [found[names[0]], found[names[1]], found[names[-1]]] == ["店" * 60, f"{'店' * 60}-2", f"{'店' * 60}-30000"]
    assert (found["A"], found["a"], found["a-2"]) == ("A", "a-2", "a-2-2")
