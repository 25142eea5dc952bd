"""What is said piece by piece is what the engine replies."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

import ecc_fed.end_model
from ecc_fed.core.records import Decoding, ReplyRequest, Turn
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.engines.replies import EndMarks, draw_replies, hearing_tokens
from ecc_fed.end_model.engines.sampling import make_rows
from ecc_fed.end_model.text.decoding import decode_reply
from ecc_fed.end_model.text.streaming import stream_reply

from ..drawing import lively
from ..opening import peft_engine, shared_engine

PROMPT = (Turn("customer", "发什么快递"),)


@pytest.mark.parametrize("engine", [peft_engine, shared_engine])
@pytest.mark.parametrize("decoding", [Decoding(12, sample=False), Decoding(12, top_p=1.0, temperature=1.5)])
@pytest.mark.parametrize("adapted", [False, True])
def test_the_pieces_are_the_engines_reply(llama, engine, decoding, adapted):
    model = engine(llama, Lora(4, lora_dropout=0.0))
    request = ReplyRequest(lively(model.shapes) if adapted else None, (PROMPT,), decoding, 5)
    pieces = []
    reply = stream_reply(model, request, pieces.append)
    assert "".join(pieces) == reply == model.reply([request])[0][0]


def test_one_prompt_at_a_time(llama):
    model = shared_engine(llama, Lora(4))
    with pytest.raises(ValueError, match="one prompt"):
        stream_reply(model, ReplyRequest(None, (PROMPT, PROMPT), Decoding(), 0), print)


class Scripted:
    """An engine that draws the token ids it is given."""

    def __init__(self, tokenizer, ids):
        self.tokenizer, self.ids = tokenizer, ids

    def reply(self, requests):
        ids, self.heard = iter(self.ids[1:]), 0
        size = len(self.tokenizer)

        class Steps:
            def first(step):
                return torch.nn.functional.one_hot(torch.tensor([self.ids[0]]), size).float()

            def next(step, tokens):
                return torch.nn.functional.one_hot(torch.tensor([next(ids)]), size).float()

        rows = make_rows([[0]], Decoding(len(self.ids), sample=False), 0)
        (drawn,) = draw_replies(Steps(), rows, EndMarks(frozenset()), torch.device("cpu"))
        return [[decode_reply(self.tokenizer, drawn.ids)]]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(Path(ecc_fed.end_model.__file__).parent / "embedded", local_files_only=True)


def test_bytes_wait_until_the_character_is_whole(tokenizer):
    text = "亲，\U0001f600𠮷 发圆通 ok"
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert len(ids) > len(text), "the emoji is no token of its own"
    pieces = []
    assert stream_reply(Scripted(tokenizer, ids), ReplyRequest(None, (PROMPT,), Decoding(), 0), pieces.append) == text
    assert "".join(pieces) == text
    assert len(pieces) > 4
    assert not any("\ufffd" in piece for piece in pieces)


def test_any_tokens_at_all_join_to_the_reply(tokenizer):
    rng = np.random.default_rng(0)
    bytes_ = [i for i in range(len(tokenizer)) if tokenizer.convert_ids_to_tokens(i).startswith("<0x")]
    for _ in range(60):
        ids = [int(rng.choice(bytes_)) if rng.random() < 0.5 else int(rng.integers(len(tokenizer))) for _ in range(12)]
        pieces = []
        reply = stream_reply(Scripted(tokenizer, ids), ReplyRequest(None, (PROMPT,), Decoding(), 0), pieces.append)
        assert "".join(pieces) == reply == decode_reply(tokenizer, ids)
        assert "\ufffd" not in reply


def test_nobody_listens_outside_the_block(tokenizer):
    heard = []
    with hearing_tokens(heard.append):
        Scripted(tokenizer, [5, 6]).reply([])
    Scripted(tokenizer, [7]).reply([])
    assert heard == [5, 6]
