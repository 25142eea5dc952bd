import csv
import io

import numpy as np
import pytest

from ecc_fed.core.errors import CorpusError
from ecc_fed.corpus.formats.reading import ReadLog
from ecc_fed.corpus.formats.twcs import TwcsCorpus, conversations, read_twcs
from ecc_fed.corpus.partition.auto import AutoPartition
from tests.corpus.dialogue_files import written

HEADER = ("tweet_id", "author_id", "inbound", "created_at", "text", "response_tweet_id", "in_response_to_tweet_id")


def tweet(number, author, text, after="", minute=0):
    inbound = "True" if author.isdigit() else "False"
    return (number, author, inbound, f"Tue Oct 31 22:{minute:02d}:47 +0000 2017", text, "", after)


def twcs_text(rows):
    text = io.StringIO()
    csv.writer(text).writerows([HEADER, *rows])
    return text.getvalue()


def read(tmp_path, rows):
    log = ReadLog(written(tmp_path, twcs_text(rows)), "twcs", TwcsCorpus.expected)
    return list(read_twcs(log)), log


# Answers stand above what they answer, as in the published file.
CHAT = [
    tweet(1, "lampshop", "@115712 Which one do you have? ^JK", 2, 3),
    tweet(2, "115712", "@lampshop my lamp\nflickers &amp; hums", "", 1),
    tweet(3, "115712", "@lampshop The red one.", 1, 5),
    tweet(4, "lampshop", "@115712 Please turn the screw.", "3.0", 7),
]


def test_a_conversation_is_put_together_by_its_answers(tmp_path):
    (session,), log = read(tmp_path, CHAT)
    assert (session.session_id, session.shop) == ("tweet-2", "lampshop")
    assert session.texts == [
        "my lamp\nflickers &amp; hums",
        "Which one do you have? ^JK",
        "The red one.",
        "Please turn the screw.",
    ]
    assert session.by_agent == [False, True, False, True]
    assert log.dropped == {"header": 1}


def test_conversations_stand_in_the_order_of_time_and_companies_are_shops(tmp_path):
    rows = [*CHAT, tweet(9, "220", "@teashop hello, is it open?", "", 0), tweet(8, "teashop", "@220 It is.", 9, 59)]
    sessions, _ = read(tmp_path, rows)
    assert [(s.session_id, s.shop) for s in sessions] == [("tweet-9", "teashop"), ("tweet-2", "lampshop")]


def test_others_in_a_conversation_are_left_out_and_counted(tmp_path):
    others = [tweet(5, "777", "@115712 same here", 2, 2), tweet(6, "postoffice", "@777 tell us more", 5, 4)]
    (session,), log = read(tmp_path, [*CHAT, *others])
    assert session.texts == read(tmp_path, CHAT)[0][0].texts
    assert [count for note, count in log.notes.items() if "left out" in note] == [2]


def test_an_answer_to_a_tweet_that_is_not_there_begins_a_conversation(tmp_path):
    sessions, _ = read(tmp_path, [tweet(4, "lampshop", "@1 Gone.", 3)])
    assert [(s.session_id, s.by_agent) for s in sessions] == [("tweet-4", [True])]


def test_every_tweet_knows_where_its_conversation_begins():
    ids = np.array([10, 11, 12, 13, 20, 30, 31])
    # The last two answer each other: no file should, and it ends if one does.
    answered = np.array([11, 12, -1, 10, 99, 31, 30])
    found = conversations(ids, answered)
    assert found[:5].tolist() == [2, 2, 2, 2, 4]
    chain = np.arange(5000)
    assert set(conversations(chain, chain - 1).tolist()) == {0}


@pytest.mark.parametrize(
    ("cell", "value", "reason"),
    [
        (0, "x", "tweet_id or in_response_to_tweet_id is no whole number"),
        (2, "yes", "inbound is 'yes', not True or False"),
        (3, "2017-10-31", "created_at is '2017-10-31', not as in"),
        (6, "1,2", "is no whole number"),
    ],
)
def test_a_row_that_is_wrong_is_counted_with_its_reason(tmp_path, cell, value, reason):
    wrong = list(tweet(5, "777", "hm"))
    wrong[cell] = value
    sessions, log = read(tmp_path, [*CHAT, wrong])
    assert len(sessions) == 1 and reason in log.broken_lines[0].reason


def test_another_table_is_refused_by_its_columns(tmp_path):
    log = ReadLog(written(tmp_path, "tweet_id,text\n1,a\n"), "twcs", TwcsCorpus.expected)
    with pytest.raises(CorpusError, match="names no column author_id, inbound, created_at, in_response_to_tweet_id"):
        list(read_twcs(log))


def test_the_companies_are_the_shops_without_a_word(tmp_path):
    rows = []
    for i in range(30):
        shop = ("lampshop", "teashop", "bookshop")[i % 3]
        words = f"thing number {i * 7919} {'abcdefghij'[i % 10] * 9}"
        rows += [
            tweet(2 * i, str(1000 + i), f"@{shop} where is my {words}?", "", i),
            tweet(2 * i + 1, shop, f"@x Your {words} is on its way", 2 * i, i),
        ]
    path = written(tmp_path, twcs_text(rows))
    corpus = TwcsCorpus(path=str(path), partition=AutoPartition(), num_shops=2, near_duplicate_similarity=None)
    assert corpus.shop_ids() == ("bookshop", "lampshop")
    assert corpus.spoken == "en"
    assert "Split in the order of time" in corpus.report().order
    assert any("1 smaller shops with 10 sessions left out" in note for note in corpus.report().notes)
