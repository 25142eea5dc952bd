import json

import pytest

from ecc_fed.corpus.formats.jsonl import read_jsonl
from tests.corpus.dialogue_files import jsonl_text, sessions_of, written


def test_both_shapes_are_read(tmp_path):
    lines = [
        {"shop": "甲店", "turns": [{"role": "customer", "text": "在吗"}, {"role": "agent", "text": "在的"}]},
        {"conversations": [{"role": "user", "content": "在吗"}, {"role": "assistant", "content": "在的"}]},
        {"shop": 7, "session": "s9", "turns": [{"role": "customer", "text": "一"}, {"role": "agent", "text": "二"}]},
    ]
    text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    sessions, _ = sessions_of(read_jsonl, written(tmp_path, text), "jsonl")
    assert [(s.session_id, s.shop) for s in sessions] == [("line-1", "甲店"), ("line-2", None), ("s9", "7")]
    assert sessions[0].texts == sessions[1].texts == ["在吗", "在的"]
    assert sessions[0].by_agent == sessions[1].by_agent == [False, True]


def test_system_turns_are_dropped_and_counted(tmp_path):
    turns = [{"role": "system", "content": "你是客服"}, {"role": "user", "content": "在吗"}]
    sessions, log = sessions_of(read_jsonl, written(tmp_path, json.dumps({"conversations": turns})), "jsonl")
    assert sessions[0].texts == ["在吗"]
    assert log.edits == {"system_turn": 1}


SAID = ["在吗", "在的"]


@pytest.mark.parametrize(
    "line",
    [
        {"messages": [{"role": "user", "content": "在吗"}, {"role": "assistant", "content": "在的"}]},
        {"conversations": [{"from": "human", "value": "在吗"}, {"from": "gpt", "value": "在的"}]},
        {"conversations": [{"role": "User", "content": "在吗"}, {"role": "ASSISTANT", "content": "在的"}]},
        {"turns": [{"role": "顾客", "text": "在吗"}, {"role": "客服", "text": "在的"}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "在"}, {"type": "text", "text": "吗"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "在的"}]},
            ]
        },
    ],
)
def test_the_same_under_other_usual_names_is_read_alike(tmp_path, line):
    (session,), log = sessions_of(read_jsonl, written(tmp_path, json.dumps(line)), "jsonl")
    assert (session.texts, session.by_agent, log.edits) == (SAID, [False, True], {})


def test_what_a_program_and_its_tools_say_is_dropped_and_counted(tmp_path):
    call = [{"id": "t1", "function": {"name": "stock", "arguments": "{}"}}]
    turns = [
        {"role": "user", "content": "在吗"},
        {"role": "assistant", "content": None, "tool_calls": call},
        {"role": "tool", "tool_call_id": "t1", "content": "3"},
        {"role": "assistant", "content": "在的", "tool_calls": call},
        {"role": "assistant", "content": "", "function_call": {"name": "stock"}},
        {"role": "function", "name": "stock", "content": "3"},
    ]
    (session,), log = sessions_of(read_jsonl, written(tmp_path, json.dumps({"conversations": turns})), "jsonl")
    assert (session.texts, session.by_agent, log.edits) == (SAID, [False, True], {"tool_turn": 4})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"turns": [', "not JSON at character"),
        ("[1, 2]", "no JSON object"),
        ('{"shop": "甲"}', 'no list of turns under "turns" or "conversations"'),
        ('{"turns": []}', "no list of turns"),
        ('{"turns": ["在吗"]}', "turn 1 is no JSON object"),
        ('{"turns": [{"role": "robot", "text": "在吗"}]}', "turn 1 has role 'robot', not customer or agent"),
        ('{"turns": [{"role": "agent", "text": 3}]}', 'turn 1 has no text under "text" or "content"'),
        ('{"turns": [{"role": ["agent"], "text": "x"}]}', "turn 1 has role ['agent']"),
        ('{"turns": [{"role": "agent", "text": null}]}', "turn 1 has no text"),
        ('{"turns": [{"role": "agent", "text": [{"type": "image", "text": "x"}]}]}', "turn 1 has no text"),
        ('{"shop": [], "turns": [{"role": "agent", "text": "x"}]}', '"shop" is list'),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_broken_lines_say_what_is_wrong(tmp_path, line, reason):
    sessions, log = sessions_of(read_jsonl, written(tmp_path, jsonl_text(3) + line + "\n"), "jsonl")
    assert len(sessions) == 3
    assert log.broken_lines[0].number == 4
    assert reason in log.broken_lines[0].reason
