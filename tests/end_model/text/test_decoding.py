"""Whole characters come out of token ids, and nothing else."""

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

import ecc_fed.end_model
from ecc_fed.core.records import Decoding, ReplyRequest, Turn
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.text.decoding import byte_of, decode_reply
from ecc_fed.end_model.text.prompting import encode_reply

from ..opening import peft_engine, shared_engine
from ..tiny_models import build_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(Path(ecc_fed.end_model.__file__).parent / "embedded", local_files_only=True)


def spelled(tokenizer, text: bytes) -> list[int]:
    return [tokenizer.convert_tokens_to_ids(f"<0x{byte:02X}>") for byte in text]


def test_only_tokens_of_the_byte_form_are_bytes() -> None:
    assert [byte_of(token) for token in ("<0x00>", "<0xE4>", "<0xfF>", "<0xE>", "x<0xE4>", "亲", None)] == [
        0, 0xE4, 0xFF, None, None, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("run", "text"),
    [
        ("你".encode()[:2], ""),
        ("你".encode()[1:], ""),
        ("你好".encode()[:5], "你"),
        (b"\xe4" + "好".encode(), "好"),
        ("好".encode() + b"\xe4\xff" + "的".encode(), "好的"),
        ("\U0001f600".encode(), "\U0001f600"),
        ("\U0001f600".encode()[:3] + b"A", "A"),
        (b"\xc0\x80\xed\xa0\x80B", "B"),  # overlong, and half a surrogate pair
    ],
)
def test_bytes_that_form_no_character_are_left_out_and_those_that_do_stay(tokenizer, run: bytes, text: str) -> None:
    assert decode_reply(tokenizer, spelled(tokenizer, run)) == text
    whole = encode_reply(tokenizer, "亲，", 10)[:-1]
    assert decode_reply(tokenizer, [*whole, *spelled(tokenizer, run), *whole]) == f"亲，{text}亲，"


def test_a_reply_cut_anywhere_has_the_characters_before_the_cut(tokenizer) -> None:
    text = "亲，\U0001f600𠮷发圆通"
    ids = encode_reply(tokenizer, text, 99)[:-1]
    cut = [decode_reply(tokenizer, ids[:end]) for end in range(len(ids) + 1)]
    assert all(text.startswith(part) for part in cut) and cut[-1] == text and len(set(cut)) < len(cut)


def test_random_bytes_read_as_python_reads_them(tokenizer) -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        run = bytes(rng.choice([0x41, 0x80, 0xA5, 0xBD, 0xC3, 0xE5, 0xF0, 0x9F, 0xED], size=8).tolist())
        assert decode_reply(tokenizer, spelled(tokenizer, run)) == run.decode("utf-8", "ignore").strip()


def test_a_tokenizer_of_bytes_throughout_shows_no_broken_character_either() -> None:
    tokenizer = build_tokenizer()
    ids = encode_reply(tokenizer, "亲，你好", 99)[:-1]
    assert decode_reply(tokenizer, ids[:-1]) == "亲，你"
    assert decode_reply(tokenizer, ids[1:]) == "，你好"


@pytest.mark.parametrize("engine", [peft_engine, shared_engine])
def test_no_reply_of_an_engine_holds_a_broken_character(llama, engine) -> None:
    model = engine(llama, Lora(4, lora_dropout=0.0))  # random weights over byte pieces: hardly a byte fits the next
    prompts = tuple((Turn("customer", f"发什么快递 {i}"),) for i in range(8))
    request = ReplyRequest(None, prompts, Decoding(16, top_p=1.0, temperature=1.5), 5)
    assert not any("\ufffd" in reply for reply in model.reply([request])[0])
