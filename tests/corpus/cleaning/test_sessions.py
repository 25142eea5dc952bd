from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.corpus.cleaning.notices import NoticeRules
from ecc_fed.corpus.cleaning.sessions import clean_characters, clean_session, drop_repetitions

RULES = NoticeRules()


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("ＡＢＣ１２３％", "ABC123%"),
        ("你好，在吗？（急）", "你好，在吗？（急）"),
        ("a\u3000\u00a0 b", "a b"),
        ("零\u200b宽\ufeff字\ufffd", "零宽字"),
        ("a\x00\x1eb", "a b"),
        ("好的~~~~谢谢！！！", "好的~谢谢！"),
        ("看 https://item.example.com/1.html?a=1&b=2 和 www.example.com/x吧", "看 [链接] 和 [链接]吧"),
        ("谢谢#E-s12#E-b3", "谢谢[表情]"),
        ("谢谢#E", "谢谢[表情]"),
        ("谢谢#E-哦#E，好", "谢谢[表情]哦[表情]，好"),
        ("发#EMS还是#E100", "发#EMS还是#E100"),
        ("有货 __eou__ 明天发__eot__好的[SEP]谢谢", "有货 明天发 好的 谢谢"),
        ("好😂 😂的/:^_^", "好[表情]的[表情]"),
        ("a&nbsp;&amp;lt;b&gt;<br/>c", "a c"),
        ("[数字x]月[订单x]", "[数字x]月[订单x]"),
        ("1 < 2 和 3 > 2", "1 < 2 和 3 > 2"),
    ],
)
def test_characters(raw, cleaned):
    assert clean_characters(raw, Counter()) == cleaned


def test_links_and_emoji_are_counted():
    edits = Counter()
    clean_characters("http://a.cn http://b.cn #E-s1😂", edits)
    assert edits == {"link": 2, "emoji": 2}


PLAIN = ("好", "的", "a", "Z", "7", " ", "  ", "~", "~~", "！", "；", "Ａ", "\u3000", "\u200b", "\n", "\ud800", "\x1f")
MARKED = ("&", "&amp;", "lt;", "<", "b>", "</", "http://", "www.", "x.cn", "#E-", "s1", "/:", "^_^", "😂", "[表情]")
PIECES = st.sampled_from((*PLAIN, *MARKED, "[数字x]"))


@given(st.lists(PIECES, max_size=30).map("".join))
def test_cleaning_characters_is_idempotent_and_leaves_line_feeds(text):
    once = clean_characters(text, Counter())
    assert clean_characters(once, Counter()) == once
    assert once.count("\n") == text.count("\n")
    once.encode()  # no lone surrogate is left


@given(st.text(max_size=200))
def test_any_text_is_cleaned_once_and_for_all(text):
    once = clean_characters(text, Counter())
    assert clean_characters(once, Counter()) == once


@pytest.mark.parametrize(
    ("raw", "once"),
    [
        ("我要转人工 我要转人工", "我要转人工"),
        ("请核对一下收货地址请核对一下收货地址", "请核对一下收货地址"),
        ("怎么退货? 在么? 怎么退货?", "怎么退货? 在么?"),
        ("好的 好的", "好的"),
        ("谢谢", "谢谢"),
        ("12341234", "12341234"),
        ("[数字x] [数字x]", "[数字x] [数字x]"),
        ("之前[数字x] 现在[数字x]", "之前[数字x] 现在[数字x]"),
        ("原价[数字x] 券[数字x] 原价[数字x]", "原价[数字x] 券[数字x] 原价[数字x]"),
        ("收到[数字x]元 收到[数字x]元", "收到[数字x]元 收到[数字x]元"),
        ("好的[表情] 好的[表情]", "好的[表情]"),
        ("New York New York city", "New York New York city"),
    ],
)
def test_what_is_said_twice_in_a_breath_is_kept_once(raw, once):
    assert drop_repetitions(raw, Counter()) == once
    assert drop_repetitions(once, Counter()) == once


def clean(*turns):
    """Turns as ("c" or "a", text); gives the same, the drops and the edits."""
    dropped, edits = Counter(), Counter()
    agent_first, texts = clean_session([role == "a" for role, _ in turns], [t for _, t in turns], RULES, dropped, edits)
    speakers = ("a", "c") if agent_first else ("c", "a")
    return [(speakers[i % 2], text) for i, text in enumerate(texts)], dropped, edits


def test_turns_of_one_speaker_are_merged_and_repeated_ones_dropped():
    turns, dropped, _ = clean(("c", "在吗"), ("c", "在吗"), ("c", "发货了吗"), ("a", "  "), ("a", "发了"), ("c", "好"))
    assert turns == [("c", "在吗 发货了吗"), ("a", "发了"), ("c", "好")]
    assert dropped == {"repeated": 1, "merged": 1, "empty": 1}


def test_turns_that_mask_something_are_kept_however_equal_they_look():
    turns, dropped, _ = clean(("c", "涨到[数字x]元"), ("c", "涨到[数字x]元"), ("a", "是的"))
    assert turns == [("c", "涨到[数字x]元 涨到[数字x]元"), ("a", "是的")]
    assert dropped == {"merged": 1}


def test_a_turn_that_is_a_notice_goes_and_its_neighbours_meet():
    turns, dropped, edits = clean(
        ("c", "你好"), ("a", "有什么问题我可以帮您处理或解决呢?"), ("c", "什么时候到"), ("a", "明天")
    )
    assert turns == [("c", "你好 什么时候到"), ("a", "明天")]
    assert dropped == {"notice": 1, "merged": 1}
    assert edits == {"opening": 1}


def test_who_speaks_first_is_who_speaks_the_first_turn_that_is_kept():
    greeting, opening = ("a", "今天特价"), ("a", "有什么问题我可以帮您处理或解决呢?")
    asked, answered = ("c", "什么时候到"), ("a", "明天")
    assert clean(greeting, asked, answered)[0] == [greeting, asked, answered]
    # An opening that is a notice or blank goes, and the customer is left to begin.
    assert clean(opening, asked, answered)[0] == [asked, answered]
    assert clean(("a", "  "), asked, answered)[0] == [asked, answered]
    assert clean(opening, greeting, asked, answered)[0] == [greeting, asked, answered]
    # The other way round: a customer's notice goes, and the agent is left to begin.
    assert clean(("c", "我要转人工"), greeting, asked)[0] == [greeting, asked]
    assert clean(opening, ("c", ""))[0] == []


def test_a_turn_with_line_feeds_stays_one_turn():
    turns, _, _ = clean(("c", "第一行\n第二行"), ("a", "好"))
    assert turns == [("c", "第一行 第二行"), ("a", "好")]


def test_no_turns_give_no_turns():
    assert clean() == ([], Counter(), Counter())


TURN = st.tuples(
    st.booleans(),
    st.one_of(
        st.sampled_from(
            [
                "好的",
                "我要转人工",
                "在吗 在吗",
                "",
                "订单编号:",
                "订单金额:",
                "咨询订单号:",
                "商品ID:1",
                "😂",
                "<b",
                "c>",
                "[日期x]",
            ]
        ),
        st.text(max_size=30),
    ),
)


@given(st.lists(TURN, max_size=12))
def test_counts_add_up_and_turns_are_clean(turns):
    dropped, edits = Counter(), Counter()
    _, texts = clean_session([agent for agent, _ in turns], [text for _, text in turns], RULES, dropped, edits)
    assert len(turns) == len(texts) + sum(dropped.values())
    assert all(text and text == text.strip() and "\n" not in text and "\x1f" not in text for text in texts)
    assert all(count > 0 for count in dropped.values())
