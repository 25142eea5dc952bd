import json

import pytest

from ecc_fed.core.errors import CorpusError
from ecc_fed.corpus.formats.columns import Columns
from ecc_fed.corpus.formats.jsonl import JsonlCorpus, read_jsonl
from ecc_fed.corpus.formats.reading import ReadLog
from ecc_fed.corpus.formats.records import read_records
from ecc_fed.corpus.partition.iid import IidPartition
from tests.corpus.dialogue_files import exchange, sessions_of, written

SAID = ["在吗", "在的", "有货吗", "有的"]


def read(records, **columns):
    log = ReadLog(None, "jsonl", "records")  # no file is opened
    return list(read_records(iter(enumerate(records, start=1)), log, Columns.of(columns))), log


@pytest.mark.parametrize(
    ("record", "form"),
    [
        ({"instruction": "有货吗", "input": "", "output": "有的", "history": [["在吗", "在的"]]}, "Alpaca"),
        (
            {"prompt": "有货吗", "response": "有的", "history": [["在吗", "在的"]]},
            '"prompt" and "response" and "history"',
        ),
        ({"prompt": "有货吗", "completion": "有的", "context": "在吗 __eou__ 在的"}, '"prompt" and "completion"'),
        ({"question": "在吗__eot__在的__eot__有货吗", "answer": "有的"}, '"question" and "answer"'),
        ({"query": "有货吗", "reply": "有的", "context": ["在吗", "在的"]}, "question and answer"),
        (
            {"Question": "有货吗", "Answer": "有的", "History": json.dumps([["在吗", "在的"]])},
            '"Question" and "Answer"',
        ),
        (
            {
                "问题": "有货吗",
                "回答": "有的",
                "history": [{"role": "user", "content": "在吗"}, {"from": "gpt", "value": "在的"}],
            },
            '"问题" and "回答"',
        ),
        (
            {"dialogue": [{"speaker": "客户" if i % 2 == 0 else "客服", "text": t} for i, t in enumerate(SAID)]},
            "speaker and text",
        ),
        (
            {
                "turns": [
                    ["customer", "在吗"],
                    ["agent", "在的"],
                    ["action", "x"],
                    ["customer", "有货吗"],
                    ["agent", "有的"],
                ]
            },
            "pairs",
        ),
        (
            {
                "messages": json.dumps(
                    [{"role": "usr" if i % 2 == 0 else "sys", "content": t} for i, t in enumerate(SAID)]
                )
            },
            "OpenAI",
        ),
    ],
)
def test_every_form_gives_the_same_dialogue_and_is_named(record, form):
    (session,), log = read([record])
    assert (session.texts, session.by_agent) == (SAID, [False, True, False, True])
    assert sum(form in note and count == 1 for note, count in log.notes.items()) == 1


def test_an_input_belongs_to_its_instruction():
    (session,), _ = read([{"instruction": "改写这句", "input": "有货", "output": "有的"}])
    assert session.texts == ["改写这句\n有货", "有的"]


def test_messages_within_a_turn_are_of_one_speaker():
    (session,), _ = read(
        [{"context": "在 __eou__ 吗 __eou__ __eot__ 在的 __eou__ __eot__", "query": "有货吗", "reply": "有 __eou__ 的"}]
    )
    assert session.texts == ["在 吗", "在的", "有货吗", "有 的"]
    assert session.by_agent == [False, True, False, True]


def test_turns_of_one_session_belong_together_and_keep_its_shop():
    rows = [
        {"session_id": "a", "role": "user", "content": "在吗", "shop": "甲"},
        {"session_id": "b", "role": "user", "content": "退货", "shop": "乙"},
        {"session_id": "a", "role": "assistant", "content": "在的", "shop": "甲"},
        {"session_id": "b", "role": "tool", "content": "{}"},
        {"session_id": "b", "role": "assistant", "content": "可以"},
    ]
    sessions, log = read(rows)
    assert [(s.session_id, s.shop, s.texts) for s in sessions] == [
        ("a", "甲", ["在吗", "在的"]),
        ("b", "乙", ["退货", "可以"]),
    ]
    assert log.edits == {"tool_turn": 1}


def test_columns_may_be_named_and_lie_within_one_another():
    record = {"id": "c7", "who": {"store": "甲"}, "messages": [1], "asked": "在吗", "said": "在的"}
    (session,), _ = read([record], query="asked", reply="said", session="id", shop="who.store")
    assert session[:2] == ("c7", "甲") and session.texts == ["在吗", "在的"]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"prompt": "在吗", "response": " "}, '"response" is empty'),
        ({"prompt": ["在吗"], "response": "x"}, '"prompt" is list, not a text'),
        ({"prompt": "在吗", "response": "x", "history": 3}, "what was said before is int"),
        ({"session": "a", "role": "boss", "text": "x"}, "the turn has role 'boss'"),
        ({"session": "", "role": "user", "text": "x"}, '"session" is empty'),
        ({"role": "user", "text": "x"}, "no turn with its session"),
        ({"messages": "[{"}, "the list of turns is not JSON"),
        ({"turns": [["customer", "在吗", 3]]}, "turn 1 is no JSON object"),
    ],
)
def test_what_is_wrong_with_a_record_is_said(record, reason):
    sessions, log = read([record])
    assert not sessions and reason in log.broken_lines[0].reason


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"quest": "a"}, "corpus.columns.quest: there is no such field. Fields: turns, query"),
        ({"query": 3}, "corpus.columns.query is 3; give the name of a column"),
    ],
)
def test_columns_that_cannot_be_are_refused(columns, said):
    with pytest.raises(CorpusError, match=said):
        Columns.of(columns)


@pytest.mark.parametrize("shop", ["store", "who.store"])
def test_a_shop_that_no_record_names_is_refused_where_it_was_asked_for(shop):
    records = [{"prompt": "在吗", "response": "在的", "store": "", "who": {"store": None}}] * 3
    assert len(read(records)[0]) == 3
    with pytest.raises(CorpusError, match=f"names no shop under '{shop}': it is empty or missing"):
        read(records, shop=shop)


def test_a_shop_that_records_leave_open_is_told():
    records = [{"prompt": "在吗", "response": "在的", "store": "", "shop": name} for name in ("", None, "甲")]
    assert read(records)[1].notes['records say nothing under "shop", which would name the shop'] == 2


def documents():
    records = [{"prompt": query, "response": reply} for query, reply in (exchange(i) for i in range(40))]
    yield json.dumps(records, ensure_ascii=False)
    yield json.dumps(records, ensure_ascii=False, indent=1)
    yield json.dumps({str(i): record for i, record in enumerate(records)})
    yield json.dumps({"train": records[:30], "dev": [], "test": records[30:]}, indent=2)
    yield "\ufeff\n" + json.dumps({"data": records})
    yield "\n".join(json.dumps(record) for record in records)


@pytest.mark.parametrize("chunk", [7, 1 << 20])
@pytest.mark.parametrize("text", documents())
def test_one_document_and_lines_hold_the_same(tmp_path, text, chunk, monkeypatch):
    monkeypatch.setattr("ecc_fed.corpus.formats.json_document._CHUNK", chunk)
    sessions, log = sessions_of(read_jsonl, written(tmp_path, text), "jsonl")
    assert [tuple(session.texts) for session in sessions] == [exchange(i) for i in range(40)]
    assert log.lines - sum(log.dropped.values()) == 40


@pytest.mark.parametrize("chunk", range(1, 12))
def test_what_is_no_record_in_a_document_is_one_broken_record(tmp_path, chunk, monkeypatch):
    monkeypatch.setattr("ecc_fed.corpus.formats.json_document._CHUNK", chunk)
    records = [{"prompt": "在吗", "response": "在的"}, {"prompt": "有吗", "response": "有的"}]
    text = json.dumps({"version": 1234567.5, "data": records}, indent=1)
    sessions, log = sessions_of(read_jsonl, written(tmp_path, text), "jsonl")
    assert (len(sessions), log.lines, log.dropped) == (2, 3, {"broken": 1})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"prompt": "a", "response": "b"}, {"prompt"', "breaks off or is wrong after record 1, near character"),
        ('[{"prompt": "a", "response": "b"}] {}', "wrong after record 1"),
        ('[{"a": 1},\n {"b": 2}]', "2 of its first 2 lines are broken, the first being line 1 (no list of turns"),
        ("[1,\n2]", "no JSON object"),
        ("[]", "is empty"),
    ],
)
def test_a_document_that_cannot_be_read_is_refused(tmp_path, text, said):
    corpus = JsonlCorpus(path=str(written(tmp_path, text)), partition=IidPartition(), num_shops=1)
    with pytest.raises(CorpusError) as caught:
        corpus.read()
    assert said in str(caught.value)


def test_a_document_in_another_encoding_is_refused_by_name(tmp_path):
    content = json.dumps([{"prompt": "在吗 有的", "response": "在的"}], ensure_ascii=False, indent=1).encode("gb18030")
    corpus = JsonlCorpus(path=str(written(tmp_path, content)), partition=IidPartition(), num_shops=1)
    with pytest.raises(CorpusError, match=r"is not UTF-8.*iconv -f GB18030"):
        corpus.read()


def test_the_report_tells_the_form(tmp_path):
    records = [
        {"messages": [{"role": r, "content": t} for r, t in zip(("user", "assistant"), exchange(i), strict=True)]}
        for i in range(20)
    ]
    path = written(tmp_path, "\n".join(map(json.dumps, records)))
    _, report = JsonlCorpus(path=str(path), partition=IidPartition(), num_shops=2).read()
    assert '20 records read as OpenAI messages: "messages" of role and content' in report.notes
