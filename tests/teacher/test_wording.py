"""A run's own words around the dialogues, and today's as they always were."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.core.completion import Language
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import OrderRecord, Turn
from ecc_fed.privacy.redaction.redactors import OrderRecordRedaction
from ecc_fed.teacher.prompts import PROBE_PROMPT, few_shot_part, prompt_after
from ecc_fed.teacher.providers.spoken import spoken
from ecc_fed.teacher.wording import TABLE_TWO, PromptLayout, Wording

from .fakes import EXAMPLES, ScriptedTeacher, gateway, request

DIALOGUE = (Turn("customer", "在吗"), Turn("agent", "在的"), Turn("customer", "发货了吗 {question}"))
OWN: dict[str, Any] = {
    "instruction": "回答顾客，格式为{{回复}}。",
    "examples_follow": None,
    "example": "问 {question}\n答 {answer}",
    "dialogue_follows": "",
    "customer": "买家: ",
    "agent": "卖家：",
}


def own(**changes: Any) -> PromptLayout:
    return Wording(**(OWN | changes)).layout("zh")


@pytest.mark.parametrize(
    ("language", "examples", "digest"),
    [
        ("zh", EXAMPLES, "88ab38226cdce3bf654eeb454c96a300c79e1bb43cf47b7ecc6682cb4bd50703"),
        ("zh", (), "933d33cad6fe60fb178e51ade832f4e8b59f2cc69dd692e2eb7c8f44f5d7160b"),
        ("en", EXAMPLES, "fd1e991ce2fb0fa68e8f00f079ab0044a7181e7e645251fd59b37aa8f417d109"),
        ("en", (), "7339373ff78abe5b15a334caa1f35a5a7f1fbb756a3966bbf7af2d611e4a4a75"),
    ],
)
def test_the_words_as_they_stand_are_those_of_every_run_before(
    language: Language, examples: tuple[tuple[str, str], ...], digest: str
) -> None:
    assert prompt_after(few_shot_part(examples, TABLE_TWO[language]), DIALOGUE).digest == digest


def test_so_is_the_probe() -> None:
    assert PROBE_PROMPT.digest == "36342f21431b8fb66fcdf3efafd2112974eaea368a9a961a409932bdab3791cc"


def test_an_own_layout_is_the_whole_prompt() -> None:
    prompt = prompt_after(few_shot_part(EXAMPLES, own()), DIALOGUE)
    assert prompt.text.split("\n") == [
        "回答顾客，格式为{回复}。",
        "问 发什么快递",
        "答 亲，默认发中通哦",
        "问 几天能到",
        "答 亲，一般三天到哦",
        "买家: 在吗",
        "卖家：在的",
        "买家: 发货了吗 {question}",
        "卖家：",
    ]
    assert prompt.num_bytes == len(prompt.text.encode())


@given(st.lists(st.tuples(st.text("{}questionanswer", min_size=1), st.text("{}a", min_size=1)), max_size=3))
def test_texts_that_look_like_placeholders_stay_texts(examples: list[tuple[str, str]]) -> None:
    part = few_shot_part(examples, own())
    assert part.examples_text == "".join(f"问 {question}\n答 {answer}\n" for question, answer in part.examples)
    assert {*part.examples} == {*examples}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"example": "{question}"}, r"prompt\.example has no placeholder \{answer\}"),
        (
            {"example": {"zh": "问{question}答{answer}", "en": "{question}{reply}"}},
            r"prompt\.example .*\{reply\}: there",
        ),
        ({"instruction": "{examples}"}, r"prompt\.instruction has an unknown placeholder \{examples\}.*has none"),
        ({"instruction": " \n"}, r"prompt\.instruction is empty"),
        ({"instruction": None}, r"prompt\.instruction=None is no text"),
        ({"dialogue_follows": 5}, r"prompt\.dialogue_follows=5 is no text"),
        ({"instruction": {"zh": "答"}}, r"prompt\.instruction has texts for zh: .*each of zh, en"),
        ({"instruction": {"zh": "答", "en": "a", "fr": "r"}}, r"prompt\.instruction has texts for zh, en, fr"),
        ({"example": "问：{question} {answer}"}, r"prompt\.example=.* has no word between what two sides say"),
        ({"example": "{answer} 答 {question}"}, r"prompt\.example=.* has no word between what two sides say"),
        ({"customer": "买家 "}, r"prompt\.customer='买家 ' is no speaker's name: one line that ends in a colon"),
        ({"agent": "："}, r"prompt\.agent='：' is no speaker's name"),
        ({"agent": "卖\n家："}, r"prompt\.agent=.* is no speaker's name"),
        ({"agent": "买家:"}, r"prompt\.customer and prompt\.agent are both '买家:'"),
        ({"instruction": "\ud800"}, r"prompt\.instruction holds half of a character"),
    ],
)
def test_words_that_cannot_be_are_refused_by_their_setting(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        own(**changes)


def test_a_teachers_further_turns_are_told_by_the_runs_own_names() -> None:
    speakers = own().speakers
    assert spoken("卖家：今天发\n买家: 好的\n卖家：不客气", speakers) == ("今天发", "turns")
    assert spoken("Shop: today\nVisitor: fine", own(agent="Shop: ", customer="Visitor: ").speakers) == (
        "today",
        "turns",
    )


KNOWN = OrderRecord("欧阳晓峰", "13812345678", "杭州市西湖区文三路90号", ("202611280001",), ("SF1234567890123",))
PAST = OrderRecord("司马青衫", "13987654321", "成都市武侯区人民南路5号", ("202611270009",), ("YT9876543210987",))


@pytest.mark.parametrize(
    "example",
    [
        "问 {question}\n答 {answer}",
        "答 {answer} 问 {question}",
        "问{{{question}}}答{{{answer}}}",
        "{agent}{answer}{customer}{question}",
    ],
)
def test_no_customers_value_passes_an_own_layout(example: str) -> None:
    """Examples and dialogue come into a layout redacted: whatever it is, none of their values is in what is sent."""
    layout = Wording(example=example, instruction="只回答{{电话}}。").layout("zh")

    def say(of: OrderRecord) -> str:
        return "，".join(f"我的{value}" for _, value in of.values()) + " {question} {answer}"

    teacher = ScriptedTeacher()
    cloud, ledger, _ = gateway(teacher, redactor=OrderRecordRedaction(), layout=layout)
    asked = request(
        say(KNOWN),
        examples=((say(PAST), say(PAST)), (say(KNOWN), "好")),
        customer=KNOWN,
        example_customers=(PAST, KNOWN),
    )
    reply = cloud.answer([asked])[0]
    (sent,) = teacher.sent
    assert "只回答{电话}。" in sent and sent.count("{question} {answer}") == 4
    for _, value in (*KNOWN.values(), *PAST.values()):
        assert value not in sent
    assert reply.text is not None and KNOWN.phone in reply.text, "on the device the customer's own values are back"
    up = [entry for entry in ledger.entries() if entry.direction == "up"]
    assert [entry.kind for entry in up] == ["instruction", "few_shot_examples", "query"]
    assert sum(entry.num_bytes for entry in up) == len(sent.encode())
