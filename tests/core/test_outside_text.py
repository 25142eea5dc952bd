import json

from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.core.outside_text import cut, visible


def test_control_characters_are_shown_and_text_stays() -> None:
    assert visible("亲，[b]可以~ 👨\u200d👩\n\u3000好") == "亲，[b]可以~ 👨\u200d👩\n\u3000好"
    assert visible("\x1b]0;x\x07\r\x9b31m\u202e\u2066\u2028\ud800\t\x7f") == (
        "\\u001b]0;x\\u0007\\u000d\\u009b31m\\u202e\\u2066\\u2028\\ud800\\u0009\\u007f"
    )


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FFF)))
def test_json_stays_json_of_the_same_value(text: str) -> None:
    assert json.loads(visible(json.dumps({"text": text}, ensure_ascii=False))) == {"text": text}


def test_a_long_text_keeps_both_ends() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("a" * 500 + "b" * 2000 + "c" * 500) == f"{'a' * 500} [... 2,000 characters ...] {'c' * 500}"
