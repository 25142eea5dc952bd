"""Tokenizers whose texts llama.cpp would cut otherwise are refused, one reason at a time."""

import json
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from ecc_fed.core.errors import ModelError
from ecc_fed.models.gguf.writing.vocabulary import vocabulary_of
from tests.end_model.exported import piece_tokenizer
from tests.models.gguf.tiny_gguf import MERGES, NAMES, build_tokenizer


def changed(tokenizer: Any, **parts: Any) -> Any:
    """With other parts of the library's tokenizer; those of its model by `model_`."""
    spec = json.loads(tokenizer.backend_tokenizer.to_str())
    for name, value in parts.items():
        where = spec["model"] if name.startswith("model_") else spec
        where[name.removeprefix("model_")] = value
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(spec))
    return tokenizer


def refused(tokenizer: Any, said: str) -> None:
    with pytest.raises(ModelError, match=rf"^the end model here cannot be written as GGUF: {said}.*--to merged$"):
        vocabulary_of(tokenizer, len(tokenizer), "here")


def test_bytes() -> None:
    tokenizer = build_tokenizer()
    found = vocabulary_of(tokenizer, len(tokenizer), "here")
    assert (found.kind, found.rule, found.scores, found.space_prefix) == ("gpt2", "qwen2", None, None)
    assert found.tokens[:6] == NAMES and list(found.types[:7]) == [1, 1, 1, 3, 3, 3, 1]
    assert found.merges == [" ".join(pair) for pair in MERGES]
    assert found.ids == {"eos": 5, "padding": 3} and found.adds == {"bos": False, "eos": False}


def test_pieces() -> None:
    tokenizer = piece_tokenizer("prefix")
    found = vocabulary_of(tokenizer, len(tokenizer) + 1, "here")
    assert (found.kind, found.rule, found.merges, found.space_prefix) == ("llama", "default", None, True)
    kinds = dict(zip(found.tokens, found.types, strict=True))
    assert [kinds[name] for name in ("<unk>", "<bos>", "<|im_start|>", "<0x0A>", "le")] == [2, 3, 3, 6, 1]
    assert kinds[f"[PAD{len(tokenizer)}]"] == 5
    scores = dict(zip(found.tokens, found.scores or (), strict=True))
    # Both merges to `hel` stand together.
    assert [scores[piece] for piece in ("h", "le", "he", "抱枕", "el", "hel", "lele")] == [0, -1, -2, -3, -4, -5, -6]
    assert found.ids == {"bos": 2, "eos": 5, "unknown": 3, "padding": 0}


def test_kept_blanks_are_written_as_sentencepiece_has_them() -> None:
    tokenizer = piece_tokenizer("kept")
    found = vocabulary_of(tokenizer, len(tokenizer), "here")
    assert found.tokens[tokenizer.get_vocab()[" "]] == "\u2581" and found.space_prefix is False


@pytest.mark.parametrize(("bos", "eos"), [(False, False), (True, False), (True, True), (False, True)])
def test_what_comes_around_a_text_is_seen(bos: bool, eos: bool) -> None:
    tokenizer = piece_tokenizer("replaced")
    single = "<bos>:0 " * bos + "$A:0" + " <|im_end|>:0" * eos
    special = [(name, tokenizer.convert_tokens_to_ids(name)) for name in ("<bos>", "<|im_end|>")]
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=special)
    assert vocabulary_of(tokenizer, len(tokenizer), "here").adds == {"bos": bos, "eos": eos}


def test_anything_else_around_a_text_is_refused() -> None:
    tokenizer = piece_tokenizer("replaced")
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(
        single="<pad>:0 $A:0", special_tokens=[("<pad>", 0)]
    )
    refused(tokenizer, "its tokenizer puts more around a text")


def test_other_kinds_of_tokenizers() -> None:
    words = Tokenizer(models.WordLevel({"a": 0, "<e>": 1}, unk_token="a"))
    refused(PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<e>"), r"its tokenizer \(WordLevel\) is none")
    refused(changed(build_tokenizer(), model_dropout=0.1), r"its tokenizer \(BPE\) is none of plain")

    class Python:
        """One without the library."""

        def __len__(self) -> int:
            return 3

    refused(Python(), r"its tokenizer \(Python\) is none")


def test_tokens_that_take_blanks() -> None:
    tokenizer = build_tokenizer()
    tokenizer.add_tokens([AddedToken("<x>", lstrip=True)])
    refused(tokenizer, "its token '<x>' takes blanks beside it")


def test_rules_without_a_name() -> None:
    spaces = pre_tokenizers.ByteLevel(add_prefix_space=True)
    other = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{N}{1,2}"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    digits = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    for splitter in (spaces, other, digits, pre_tokenizers.Whitespace()):
        tokenizer = build_tokenizer()
        tokenizer._tokenizer.pre_tokenizer = splitter
        refused(tokenizer, "its tokenizer splits texts by a rule for which llama.cpp has no name")
    refused(changed(build_tokenizer(), pre_tokenizer=None), "its tokenizer splits texts by a rule")
    tokenizer = build_tokenizer("gpt-2")
    tokenizer._tokenizer.normalizer = normalizers.NFC()
    refused(tokenizer, r"its tokenizer normalizes texts \(NFC\)")
    refused(changed(build_tokenizer(), model_ignore_merges=True), "its ignore_merges is not that of the rule qwen2")


def merged(*order: tuple[str, str]) -> Any:
    return changed(piece_tokenizer("replaced"), model_merges=[list(pair) for pair in order])


def test_merges_that_scores_cannot_say() -> None:
    usual = json.loads(piece_tokenizer("replaced").backend_tokenizer.to_str())["model"]["merges"]
    pairs = [tuple(pair) for pair in usual]
    hel = [pairs.index(pair) for pair in (("he", "l"), ("h", "el"))]
    apart = [*pairs[: hel[1]], *pairs[hel[1] + 1 :], pairs[hel[1]]]
    refused(merged(*apart), "the merges to its piece 'hel' do not stand together")
    refused(merged(*(pair for pair in pairs if pair != ("h", "el"))), "its piece 'hel' is not merged from 'h' and 'el'")
    refused(changed(piece_tokenizer("replaced"), model_ignore_merges=True), "its tokenizer takes whole pieces before")


def test_a_character_that_is_no_piece_is_merged_by_llama_cpp_all_the_same() -> None:
    tokenizer = piece_tokenizer("replaced")
    vocab = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"]
    refused(
        changed(tokenizer, model_vocab={**vocab, "亲爱": len(vocab)}),
        "its piece '亲爱' is not merged from '亲' and '爱'",
    )


def test_blanks_and_splits_that_llama_cpp_does_otherwise() -> None:
    tokenizer = piece_tokenizer("prefix")
    tokenizer._tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), tokenizer._tokenizer.normalizer])
    refused(tokenizer, r"its tokenizer normalizes texts \(Sequence\)")
    tokenizer = piece_tokenizer("kept")
    tokenizer._tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    refused(tokenizer, r"its tokenizer splits texts \(Metaspace\)")
    for pattern in (r"[a-z]+", r"[h]", r"h"):
        tokenizer = piece_tokenizer("kept")
        tokenizer._tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
        refused(tokenizer, r"its tokenizer splits texts \(Split\)")


def test_bytes_that_are_lacking() -> None:
    tokenizer = piece_tokenizer("replaced")
    vocab = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"]
    renamed = {("<0x4G>" if name == "<0x41>" else name): index for name, index in vocab.items()}
    refused(changed(tokenizer, model_vocab=renamed), "its tokenizer falls back to bytes and has no <0x41>")
