import csv
import io

import pytest

from ecc_fed.core.errors import CorpusError
from ecc_fed.corpus.formats.tables import TableCorpus
from ecc_fed.corpus.partition.iid import IidPartition
from tests.corpus.dialogue_files import exchange, written


def table(header, rows, delimiter=","):
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([header, *rows])
    return text.getvalue()


def corpus_of(tmp_path, text, **settings):
    return TableCorpus(path=str(written(tmp_path, text, "own.csv")), partition=IidPartition(), num_shops=2, **settings)


def refused(corpus):
    with pytest.raises(CorpusError) as caught:
        corpus.read()
    return str(caught.value)


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_question_and_answer_in_any_usual_delimiter(tmp_path, delimiter):
    rows = [(i, *exchange(i), f"店{i % 2}") for i in range(20)]
    sessions, report = corpus_of(tmp_path, table(("session", "Question", "Answer", "shop"), rows, delimiter)).read()
    assert [tuple(turn.text for turn in session.turns) for session in sessions] == [exchange(i) for i in range(20)]
    assert [(s.session_id, s.shop_id) for s in sessions][:2] == [("0", "店0"), ("1", "店1")]
    assert report.lines.dropped == {"header": 1}
    assert '20 records read as question and answer: "Question" and "Answer"' in report.notes


def test_a_turn_a_row_with_columns_of_any_name(tmp_path):
    rows = [(f"c{i}", who, text) for i in range(20) for who, text in zip(("客户", "客服"), exchange(i), strict=True)]
    by_time = sorted(rows, key=lambda row: row[1])
    columns = {"session": "编号", "role": "谁", "text": "说了"}
    sessions, _ = corpus_of(tmp_path, table(("编号", "谁", "说了"), by_time), columns=columns).read()
    assert [tuple(turn.text for turn in session.turns) for session in sessions] == [exchange(i) for i in range(20)]


def test_a_cell_may_hold_delimiters_quotes_and_line_ends(tmp_path):
    rows = [(f'第{i}件 "大, 红"\n还有吗', exchange(i)[1]) for i in range(10)]
    sessions, report = corpus_of(tmp_path, table(("query", "reply"), rows)).read()
    assert sessions[3].turns[0].text == '第3件 "大, 红" 还有吗'
    assert (len(sessions), report.lines.read) == (10, 21)


def test_broken_rows_are_counted_and_the_next_is_read(tmp_path):
    sound = table(("query", "reply"), [exchange(i) for i in range(10)])
    text = sound + 'a,"b"c\na,b,c\nonly one\n' + ",".join(exchange(11)) + "\n"
    sessions, report = corpus_of(tmp_path, text).read()
    assert len(sessions) == 11
    assert [(line.number, line.reason[:20]) for line in report.broken_lines] == [
        (12, "',' expected after '"),
        (13, "3 cells instead of 2"),
        (14, "1 cells instead of 2"),
    ]


def test_a_quote_that_is_never_closed_does_not_swallow_the_file(tmp_path):
    rows = "".join(f"{query},{reply}\n" for query, reply in (exchange(i) for i in range(8000)))
    _, report = corpus_of(tmp_path, 'query,reply\na,"b\n' + rows, near_duplicate_similarity=None).read()
    assert report.broken_lines[0].reason.startswith("field larger than field limit")
    assert report.sessions.kept > 4000


@pytest.mark.parametrize(
    ("text", "columns", "said"),
    [
        (
            "在吗,在的\n有吗,有的\n",
            None,
            "its first line should name columns that make a dialogue, and holds '在吗', '在的'. Put a header",
        ),
        ("query,reply\na,b\n", {"reply": "answer"}, "own.csv has no column 'answer' for corpus.columns.reply"),
        ("query,reply\na,b\n", {"reply": "answer"}, "Its columns: 'query', 'reply'"),
        ("role,text\nuser,a\n", None, "and holds 'role', 'text'"),
        ('{"turns": [{"role": "user", "text": "a"}]}\n', None, "It looks like JSONL: use corpus=jsonl"),
        ("query,reply\n", None, "holds no usable dialogue"),
        (
            "query,reply\n" + "a,b,c\n" * 9,
            None,
            "9 of its first 10 lines are broken, the first being line 2 (3 cells instead of 2)",
        ),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_with_a_remedy(tmp_path, text, columns, said):
    assert said in refused(corpus_of(tmp_path, text, columns=columns))


def test_another_encoding_is_refused_by_name(tmp_path):
    content = table(("问题", "回答"), [("有的吗", "有的是")] * 9).encode("gb18030")
    assert "iconv -f GB18030 -t UTF-8 own.csv" in refused(corpus_of(tmp_path, content))


def test_too_few_dialogues_say_what_was_dropped(tmp_path):
    alike = [("我的包裹什么时候能到呢，已经等了三天", "亲，今天下午就会送到您那里的哦")] * 9
    corpus = corpus_of(tmp_path, table(("query", "reply"), alike))
    with pytest.raises(
        CorpusError, match=r"more than the corpus has dialogues \(1\).*Of 9 read 8 were dropped: \w+ 8\."
    ):
        corpus.shops()
    few = corpus_of(tmp_path, table(("query", "reply"), [exchange(i) for i in range(1)]))
    with pytest.raises(CorpusError, match=r"Ask for fewer shops\.$"):
        few.shops()
