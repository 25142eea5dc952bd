"""The fast tokenizer is sentencepiece, and prompts are the original's."""

import random
from pathlib import Path

import pytest

from ecc_fed.core.errors import ModelError
from ecc_fed.core.records import Turn
from ecc_fed.end_model.chatglm3.sentencepiece_model import SentencePieceModel, read_sentencepiece
from ecc_fed.end_model.chatglm3.tokenizer import SPECIALS, build_tokenizer, compare_with_sentencepiece
from ecc_fed.end_model.text.decoding import decode_reply
from ecc_fed.end_model.text.prompting import encode_prompt, encode_reply
from ecc_fed.models.chat_ids import encode_text

from . import original
from .conftest import Converted

ALPHABETS = (
    "亲您好请问发货快递退款尺码颜色这那的了吗呢，。！？、：（）",
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,'-",
    "0123456789.,%-/",
    " ",
    "\n\r\t ",
    "😀🎁👍🏽👩\u200d👧🇨🇳é\u0301",
    "\x00\x01\x1b\x7f\x85\xa0\u2581\u3000\u200b\ufeff\ufffd𠮷ꙮ",
)
FRAGMENTS = ("<|user|>", "<|assistant|>", "</s>", "<unk>", "[gMASK]", "<sop>", "sop", "<0x0A>", "  ", "\n\n")


def random_strings(count: int) -> list[str]:
    rng = random.Random(5)

    def part() -> str:
        kind = rng.random()
        if kind < 0.35:
            line = rng.choice(original.TEXT)
            start = rng.randrange(len(line))
            return line[start : start + rng.randint(1, 12)]
        if kind < 0.45:
            return rng.choice(FRAGMENTS)
        return "".join(rng.choices(rng.choice(ALPHABETS), k=rng.randint(1, 7)))

    return ["".join(part() for _ in range(rng.randint(1, 10))) for _ in range(count)]


def test_equals_sentencepiece_on_a_thousand_strings(converted: Converted) -> None:
    texts = ["", " ", "\n", "▁", *random_strings(1000)]
    for text in texts:
        wanted = converted.processor.encode(text)
        assert encode_text(converted.tokenizer, text) == wanted, text
        assert converted.tokenizer.decode(wanted) == converted.processor.decode(wanted), text


def test_special_ids_are_numbered_on_from_the_pieces(converted: Converted) -> None:
    first = converted.processor.get_piece_size()
    assert converted.tokenizer.convert_tokens_to_ids(list(SPECIALS)) == list(range(first, first + 9))
    assert SPECIALS[5:8] == ("<|system|>", "<|user|>", "<|assistant|>")
    assert (converted.tokenizer.pad_token_id, converted.tokenizer.eos_token_id) == (0, 2)


@pytest.mark.parametrize(
    "texts",
    [
        ("什么时候发货？",),
        ("hello", "您好，在的亲", "  two  spaces\nand a line"),
        ("我是 <|user|> 吗</s>[gMASK]<sop>", "<|assistant|>\n好的", "<|system|>"),
        (" leading", "\n", "▁"),
    ],
)
def test_prompt_ids_are_the_original_ones(converted: Converted, texts: tuple[str, ...]) -> None:
    roles = [("customer", "user") if index % 2 == 0 else ("agent", "assistant") for index in range(len(texts))]
    turns = [Turn(role, text) for (role, _), text in zip(roles, texts, strict=True)]
    wanted = original.chat_ids(
        converted.processor, [(role, text) for (_, role), text in zip(roles, texts, strict=True)]
    )
    if len(texts) % 2 == 0:
        pytest.fail("the last turn must be the customer's")
    assert encode_prompt(converted.tokenizer, turns, max_tokens=10_000) == wanted


def test_a_customer_who_types_a_role_stays_text(converted: Converted) -> None:
    user = converted.processor.get_piece_size() + SPECIALS.index("<|user|>")
    ids = encode_prompt(converted.tokenizer, [Turn("customer", "<|user|><|user|>")], max_tokens=100)
    assert ids.count(user) == 1
    assert "<|user|><|user|>" in converted.processor.decode([i for i in ids if i < converted.report.pieces])


def test_template_knows_the_system_role_and_no_other(converted: Converted) -> None:
    system = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]
    rendered = converted.tokenizer.apply_chat_template(system, tokenize=False, add_generation_prompt=True)
    assert rendered == "[gMASK]<sop><|system|>\na<|user|>\nb<|assistant|>"
    with pytest.raises(Exception, match="roles system, user and assistant, not tool"):
        converted.tokenizer.apply_chat_template([{"role": "tool", "content": "a"}], tokenize=False)


def test_reply_opening_is_declared_and_decodes_away(converted: Converted) -> None:
    opening = converted.tokenizer.init_kwargs["reply_opening"]
    assert opening == "\n"
    ids = encode_reply(converted.tokenizer, "好的 亲", 64)
    assert ids == [*converted.processor.encode("\n"), *converted.processor.encode("好的 亲"), 2]
    assert decode_reply(converted.tokenizer, ids) == "好的 亲"


def read(tmp_path: Path, content: bytes) -> SentencePieceModel:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(content)
    return read_sentencepiece(path)


def ignore(done: int, total: int) -> None:
    pass


def test_a_vocabulary_merged_of_two_models_is_reproduced(tmp_path: Path) -> None:
    """Equal scores of pieces that never compete are harmless, as in a Chinese model merged onto an English one."""
    english, chinese = original.train_pieces(original.TEXT[3:], 700), original.train_pieces(original.TEXT[:3], 700)
    merged = english
    known = {piece.text for piece in read(tmp_path, english).pieces}
    for piece in read(tmp_path, chinese).pieces[259:]:
        if piece.text not in known:
            merged = original.append_piece(merged, piece.text, piece.score)
    model = read(tmp_path, merged)
    assert len({piece.score for piece in model.pieces[259:]}) < len(model.pieces[259:])
    assert compare_with_sentencepiece(build_tokenizer(model, 512), model, ignore).different == 0


def test_a_vocabulary_that_ranks_cannot_tell_is_refused(tmp_path: Path) -> None:
    model = original.train_pieces(original.TEXT[3:], 700)
    for piece in read(tmp_path, original.train_pieces(original.TEXT[:3], 700)).pieces[259:]:
        if len(piece.text) > 1:
            model = original.append_piece(model, piece.text, 0.0)
        elif piece.text.encode() not in model:
            model = original.append_piece(model, piece.text, -9999.0)
    merged = read(tmp_path, model)
    with pytest.raises(ModelError, match=r"cannot reproduce this tokenizer\.model: \d+ of \d+ strings"):
        compare_with_sentencepiece(build_tokenizer(merged, 512), merged, ignore)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_type": "unigram"}, "model_type is not BPE"),
        ({"byte_fallback": False}, "no byte_fallback"),
        ({"normalization_rule_name": "nmt_nfkc"}, r"normalizes text \(nmt_nfkc\)"),
        ({"add_dummy_prefix": False}, "no dummy prefix"),
        ({"remove_extra_whitespaces": True}, "removes extra white space"),
        ({"user_defined_symbols": ["<x>"]}, r"piece 3 \('<x>'\) has type 4"),
        ({"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3}, "begins with"),
    ],
)
def test_another_kind_of_model_is_refused_by_name(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(tmp_path, original.train_pieces(vocab_size=600, **options))


def test_a_piece_named_like_a_special_token_is_refused(tmp_path: Path) -> None:
    model = read(tmp_path, original.append_piece(original.train_pieces(vocab_size=600), "<|user|>", -5000.0))
    with pytest.raises(ModelError, match=r"special token <\|user\|> got id"):
        build_tokenizer(model, 512)
