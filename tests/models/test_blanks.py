import pytest

from ecc_fed.models.blanks import puts_blanks, without_blanks

from .chat_tokenizers import bert, byte_level, prefixed


@pytest.mark.parametrize(
    "text",
    [
        "亲，这款保温杯现在59元一个哦",
        "在吗",
        "hello world",
        "hello, world。",
        "9.9元",
        "iphone 15的",
        "24~48时(今天)",
        "a-b.c",
    ],
)
def test_what_was_said_comes_back(text: str) -> None:
    tokenizer = bert()
    shown = tokenizer.decode(tokenizer.encode(text, add_special_tokens=False), clean_up_tokenization_spaces=False)
    assert without_blanks(tokenizer, shown).replace("[UNK]", "时") == text


def test_others_keep_their_blanks() -> None:
    assert puts_blanks(bert())
    for tokenizer in (byte_level(), prefixed(legacy=True), prefixed(legacy=False)):
        assert not puts_blanks(tokenizer)
        assert without_blanks(tokenizer, "在 吗 ， a") == "在 吗 ， a"
