"""What a prompt is counted as: tokens by rule of thumb, bytes exactly, digests for good."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.core.completion import FewShotPart, Speakers, TeacherPrompt, estimate_tokens
from ecc_fed.core.records import Turn


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("亲", 1),
        ("亲您好", 3),
        ("a", 1),
        ("abcd", 1),
        ("abcde", 2),
        ("a亲b", 2),
        ("亲abcd您efgh", 4),
        ("é", 1),
    ],
)
def test_a_character_beyond_ascii_is_a_token_and_so_is_every_four_of_ascii(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


@given(st.text("ab1 亲您好，", max_size=12), st.text("ab1 亲您好，", max_size=12))
def test_two_texts_apart_are_never_fewer_tokens_than_together(left: str, right: str) -> None:
    together, apart = estimate_tokens(left + right), estimate_tokens(left) + estimate_tokens(right)
    assert together <= apart <= together + 1


def test_a_prompt_is_its_parts_in_bytes_tokens_and_digest() -> None:
    part = FewShotPart("zh", (("问", "答"),), "头", "问：答", "tail", Speakers("顾客：", "客服："))
    prompt = TeacherPrompt(part, (Turn("customer", "在吗"),), "顾客：在吗 ok")
    assert part.text == "头问：答tail"
    assert prompt.text == "头问：答tail顾客：在吗 ok"
    assert (part.instruction_bytes, part.examples_bytes, prompt.query_bytes) == (7, 9, 18)
    assert prompt.num_bytes == len(prompt.text.encode()) == 34
    assert (part.tokens, prompt.tokens) == (5, 5 + 6)
    assert part.digest == hashlib.sha256(part.text.encode()).hexdigest()
    assert prompt.digest == hashlib.sha256(f"{part.digest}\n{prompt.dialogue}".encode()).hexdigest()
