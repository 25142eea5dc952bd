from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.core.errors import CorpusError
from ecc_fed.core.records import Session, Shop, Turn
from ecc_fed.corpus.pairs import PairLimits, build_pairs, checked_shop, collect_pairs, says_something, split_bounds
from tests.corpus.dialogue_files import exchange


def dialogue(*texts: str, agent_first: bool = False, number: int = 0) -> Session:
    roles = ("agent", "customer") if agent_first else ("customer", "agent")
    turns = tuple(Turn(roles[i % 2], text) for i, text in enumerate(texts))
    return Session(f"s{number}", turns, position=float(number))


def test_every_answered_customer_turn_is_a_pair_with_its_context():
    session = dialogue("您好亲", "在吗", "在的", "发货了吗", "发了", "谢谢", agent_first=True)
    first, second = build_pairs(session, "x")
    assert (first.query, first.reply, first.context) == ("在吗", "在的", session.turns[:1])
    assert (second.query, second.reply, second.context) == ("发货了吗", "发了", session.turns[:3])
    assert second.pair_id == "s0:4"
    assert second.shop_id == "x"
    assert second.prompt == session.turns[:4]


def test_only_an_agent_right_after_a_customer_answers():
    said = [("agent", "您好"), ("customer", "在吗"), ("agent", "在的"), ("agent", "请讲"), ("customer", "发了吗")]
    session = Session("s", tuple(Turn(role, text) for role, text in [*said, ("customer", "人呢"), ("agent", "发了")]))
    first, second = build_pairs(session, "x")
    assert (first.query, first.reply, first.pair_id) == ("在吗", "在的", "s:2")
    assert (second.query, second.reply, second.pair_id) == ("人呢", "发了", "s:6")
    assert second.context == session.turns[:5]


TURNS = st.lists(st.text("甲乙丙", min_size=1, max_size=12), min_size=2, max_size=12)


@given(TURNS, st.booleans(), st.integers(1, 30))
def test_context_is_the_longest_run_of_whole_turns_that_fits(texts, agent_first, room):
    session = dialogue(*texts, agent_first=agent_first)
    dropped = Counter()
    pairs = build_pairs(session, "x", PairLimits(max_context_tokens=room, min_reply_tokens=1), dropped)
    for pair in pairs:
        assert sum(len(turn.text) for turn in pair.prompt) <= room
        at = int(pair.pair_id.split(":")[1])
        assert session.turns[at - len(pair.prompt) : at] == pair.prompt
        start = at - len(pair.prompt)
        if start > 0:
            assert sum(len(turn.text) for turn in session.turns[start - 1 : at]) > room
    assert len(pairs) + sum(dropped.values()) == (len(texts) - agent_first) // 2


def test_replies_outside_the_limits_are_dropped_and_counted():
    texts = ["问" * 9, "好", "问", "[订单x] [数字x]", "问", "长" * 11, "问" * 30, "太长的问题", "问", "刚好"]
    limits = PairLimits(max_context_tokens=20, max_reply_tokens=10, min_reply_tokens=2)
    long_enough = replace(limits, max_reply_tokens=14)
    dropped = Counter()
    assert [pair.reply for pair in build_pairs(dialogue(*texts), "x", limits, dropped)] == ["刚好"]
    assert dropped == {"reply_too_short": 1, "reply_too_long": 2, "query_too_long": 1}
    dropped.clear()
    build_pairs(dialogue(*texts), "x", long_enough, dropped)
    assert dropped["reply_without_words"] == 1


def test_a_text_as_long_as_its_limit_is_kept():
    limits = PairLimits(max_context_tokens=4, max_reply_tokens=3, min_reply_tokens=2)
    for question, reply, kept in (
        ("四个字吗", "两字", True),
        ("四个字吗", "三个字", True),
        ("四个字吗", "一", False),
        ("四个字吗", "有四个字", False),
        ("五个字的吗", "两字", False),
    ):
        assert len(build_pairs(dialogue(question, reply), "x", limits)) == kept, (question, reply)
    one = PairLimits(max_context_tokens=1, max_reply_tokens=1, min_reply_tokens=1, max_pairs_per_session=1)
    assert len(build_pairs(dialogue("问", "答", "问", "答"), "x", one)) == 1


def test_tokens_are_those_of_the_counter_given():
    session = dialogue("甲乙", "丙丁戊", "己", "庚辛")
    limits = PairLimits(max_context_tokens=3, min_reply_tokens=1, count_tokens=lambda text: 1)
    assert build_pairs(session, "x", limits)[1].context == session.turns[:2]


def test_only_the_last_pairs_of_a_session_where_asked():
    session = dialogue(*[text for k in range(4) for text in exchange(0, k)])
    dropped = Counter()
    pairs = build_pairs(session, "x", PairLimits(max_pairs_per_session=1), dropped)
    assert [pair.pair_id for pair in pairs] == ["s0:7"]
    assert dropped == {"over_session_cap": 3}


@pytest.mark.parametrize(
    ("reply", "says"), [("好的", True), ("[订单x]", False), ("123 [数字x]", False), ("ok", True), ("?", False)]
)
def test_replies_of_placeholders_say_nothing(reply, says):
    assert says_something(reply) is says


@given(st.integers(3, 500), st.floats(0.01, 0.9), st.floats(0.01, 0.9))
def test_every_split_gets_sessions_and_about_its_share(num_sessions, history_share, test_share):
    if history_share + test_share >= 1:
        with pytest.raises(CorpusError, match="must satisfy"):
            split_bounds(num_sessions, history_share, test_share)
        return
    history_end, stream_end = split_bounds(num_sessions, history_share, test_share)
    assert 0 < history_end < stream_end < num_sessions
    # A split that would be empty takes a session from its neighbour, whose share was rounded: below 1 + 1.
    assert abs(history_end - history_share * num_sessions) < 2
    assert abs(num_sessions - stream_end - test_share * num_sessions) < 2


def test_no_history_where_none_is_asked_for():
    assert split_bounds(10, 0.0, 0.2) == (0, 8)


def test_a_pair_like_an_earlier_one_of_the_shop_is_dropped():
    sessions = [dialogue(*exchange(i), "谢谢亲", "不客气", number=i) for i in range(6)]
    later = [
        dialogue("请问12号 发货吗？", "亲，34号发", number=6),
        dialogue("请问5号发货吗", "亲6号发！", *exchange(7), number=7),
    ]
    dropped, seen = Counter(), set()
    assert len(collect_pairs(sessions, "x", PairLimits(), seen, dropped)) == 12
    kept = collect_pairs(later, "x", PairLimits(), seen, dropped)
    assert dropped == {"duplicate": 1}
    assert [pair.query for pair in kept] == ["请问12号 发货吗？", exchange(7)[0]]
    assert collect_pairs(later, "x", PairLimits(), set(), dropped)[0].shop_id == "x", "another shop may say it again"


def test_no_more_pairs_than_the_cap():
    sessions = [dialogue(*exchange(i), number=i) for i in range(6)]
    dropped = Counter()
    assert len(collect_pairs(sessions, "x", PairLimits(), set(), dropped, max_pairs=4)) == 4
    assert dropped == {"over_shop_cap": 2}


@pytest.mark.parametrize("empty", ["stream", "test"])
def test_a_shop_with_nothing_to_serve_or_to_test_is_refused_by_name(empty):
    pairs = tuple(build_pairs(dialogue(*exchange(0)), "x"))
    shop = Shop("x", (), pairs, pairs)
    assert checked_shop(shop) is shop
    with pytest.raises(CorpusError, match=f"shop x has no {empty} pair left.*corpus.num_shops"):
        checked_shop(replace(shop, **{empty: ()}))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_context_tokens": 0}, "corpus.max_context_tokens is 0"),
        ({"min_reply_tokens": 9, "max_reply_tokens": 8}, "no reply would be left"),
        ({"max_pairs_per_session": 0}, "corpus.max_pairs_per_session is 0"),
    ],
)
def test_limits_out_of_range_are_refused(settings, said):
    with pytest.raises(CorpusError, match=said):
        PairLimits(**settings)
