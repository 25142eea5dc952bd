import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.text_layout import read_layout


def test_places_are_filled_and_doubled_braces_are_braces() -> None:
    layout = read_layout('{{"问": "{question}"}} {answer}{question}', "prompt.example", needed=("question", "answer"))
    assert layout.filled({"question": "几天到", "answer": "三天"}) == '{"问": "几天到"} 三天几天到'


@given(st.text("{}ab!:.0question", max_size=30), st.text("{}answer", max_size=20))
def test_what_stands_in_a_place_is_text_whatever_it_looks_like(question: str, answer: str) -> None:
    layout = read_layout("{question}|{answer}", "prompt.example", needed=("question", "answer"))
    assert layout.filled({"question": question, "answer": answer}) == f"{question}|{answer}"


@given(st.text("{}ab", max_size=30))
def test_any_text_can_be_written(text: str) -> None:
    escaped = text.replace("{", "{{").replace("}", "}}")
    assert read_layout(escaped, "prompt.system").filled({}) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{query} {answer}",
            r"prompt\.example has an unknown placeholder \{query\}: there are \{question\}, \{answer\}",
        ),
        ("{question.__class__} {answer}", r"unknown placeholder \{question\.__class__\}"),
        ("{question!r} {answer}", r"unknown placeholder \{question!r\}"),
        ("{} {answer}", r"unknown placeholder \{\}"),
        ("{question}", r"has no placeholder \{answer\}, which it needs: there are \{question\}, \{answer\}\.$"),
        ("{{question}} {answer}", r"has no placeholder \{question\}"),
        ("{question} {answer} :}", r"single \} in .*written twice: \{\{ or \}\}\.$"),
        ("{ {question} {answer}", r"single \{ in "),
    ],
)
def test_a_wrong_layout_is_refused_by_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_layout(text, "prompt.example", needed=("question", "answer"))


def test_a_text_without_places_says_so() -> None:
    with pytest.raises(ConfigError, match=r"prompt\.system has an unknown placeholder \{shop\}: this text has none\."):
        read_layout("你是{shop}的客服", "prompt.system")
