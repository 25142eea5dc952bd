"""ChatGLM3's sentencepiece tokenizer as a fast tokenizer with the original's chat format.

Sentencepiece merges, again and again, the adjacent pair whose union has the highest score, the
leftmost of equals; a fast BPE merges the pair of the lowest rank. So every way to cut a piece in
two becomes a merge, ranked by the piece's score. Equal scores of different pieces cannot be told
by ranks: the result is compared with sentencepiece on every piece and on random strings.

The original encodes a dialogue segment by segment, each with a dummy `▁` of its own:
`[gMASK] sop <|user|> ▁ \\n ▁text… <|assistant|>`. The reply then begins with the segment `▁ \\n`,
which the tokenizer's config declares as `reply_opening`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from ecc_fed.core.errors import ModelError
from ecc_fed.end_model.chatglm3.sentencepiece_model import NORMAL, Piece, SentencePieceModel

# Numbered on from the piece count, in this order. The original writes `sop` and `eop`; in brackets
# here, since the bare words are ordinary pieces.
SPECIALS = (
    "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>",
)  # fmt: skip
PAD_ID, BOS_ID, EOS_ID = 0, 1, 2
REPLY_OPENING = "\n"
CHAT_TEMPLATE = (
    "{{ '[gMASK]<sop>' }}"
    "{% for message in messages %}"
    "{% if message['role'] not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('ChatGLM3 knows the roles system, user and assistant, not ' + message['role']) }}"
    "{% endif %}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
# Random strings compared with sentencepiece, besides every piece, and how many may differ: merged
# vocabularies can hold pieces of equal score, whose order a list of ranks cannot tell.
RANDOM_PROBES = 2000
TOLERATED_SHARE = 1e-3
_PROBE_ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "0123456789.,:;-+*/=()[]{}<>#&%$@!?'\"\\_|~^`",
    "的一是不了在有人我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后",
    "，。！？；：、“”‘’（）《》【】…—～　",
    "  \n\t\r",
    "éßñøЖдכערबहाकัก日本語テスト한국어😀🎁👍🏽\u200d👩\ufe0f\u0301\u2581\x00\x07\x7f\xa0\u200b\ufffd",
)


@dataclass(frozen=True, slots=True)
class Probes:
    """How many strings were compared with sentencepiece, and how many came out otherwise."""

    compared: int
    different: int


def end_ids(piece_count: int) -> tuple[int, ...]:
    """Ids that end a reply: `</s>`, and a next turn of the user or of a tool."""
    return (EOS_ID, piece_count + SPECIALS.index("<|user|>"), piece_count + SPECIALS.index("<|observation|>"))


def build_tokenizer(model: SentencePieceModel, positions: int) -> PreTrainedTokenizerFast:
    """The fast tokenizer of a sentencepiece model, special tokens and chat format included."""
    vocabulary = {piece.text: number for number, piece in enumerate(model.pieces)}
    backend = Tokenizer(
        models.BPE(
            vocab=vocabulary, merges=_merges(model.pieces), unk_token="<unk>", fuse_unk=False, byte_fallback=True
        )
    )
    # Prepend leaves an empty text empty, as sentencepiece does.
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in SPECIALS])
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<unk>",
        padding_side="left",
        model_max_length=positions,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
        reply_opening=REPLY_OPENING,
    )
    _check_ids(tokenizer, len(model.pieces))
    return tokenizer


def compare_with_sentencepiece(
    tokenizer: PreTrainedTokenizerFast, model: SentencePieceModel, on_probe: Callable[[int, int], None]
) -> Probes:
    """Encodes and decodes every piece and `RANDOM_PROBES` random strings on both sides.

    Raises:
        ModelError: more than `TOLERATED_SHARE` of the strings differ; one is shown.
    """
    texts = [piece.text.replace("▁", " ") for piece in model.pieces] + _random_texts(model.pieces)
    different: list[str] = []
    batch = 4096
    for start in range(0, len(texts), batch):
        part = texts[start : start + batch]
        wanted = model.processor.encode(part)
        found = _encode_plain(tokenizer, part)
        different += [
            text
            for text, ours, theirs in zip(part, found, wanted, strict=True)
            if ours != theirs or tokenizer.decode(ours) != model.processor.decode(theirs)
        ]
        on_probe(min(start + batch, len(texts)), len(texts))
    if len(different) > TOLERATED_SHARE * len(texts):
        raise ModelError(
            f"a fast tokenizer cannot reproduce this tokenizer.model: {len(different)} of {len(texts)} strings come "
            f"out otherwise, such as {different[0]!r} (pieces of equal score?); "
            "give the checkpoint's own tokenizer.model"
        )
    return Probes(len(texts), len(different))


def _encode_plain(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[list[int]]:
    encoded = tokenizer(texts, add_special_tokens=False, split_special_tokens=True)
    return [list(ids) for ids in encoded["input_ids"]]


def _merges(pieces: tuple[Piece, ...]) -> list[tuple[str, str]]:
    """Every cut of every normal piece into two, best score first."""
    ids = {piece.text: number for number, piece in enumerate(pieces) if piece.type == NORMAL}
    ranked: list[tuple[float, int, int, int]] = []
    for text, number in ids.items():
        for cut in range(1, len(text)):
            left, right = ids.get(text[:cut]), ids.get(text[cut:])
            if left is not None and right is not None:
                ranked.append((-pieces[number].score, number, left, right))
    ranked.sort()
    return [(pieces[left].text, pieces[right].text) for _, _, left, right in ranked]


def _check_ids(tokenizer: PreTrainedTokenizerFast, piece_count: int) -> None:
    for number, name in enumerate(SPECIALS, piece_count):
        found = tokenizer.convert_tokens_to_ids(name)
        if found != number:
            raise ModelError(
                f"the special token {name} got id {found}, wanted {number}: tokenizer.model holds a piece of that "
                "name; give the checkpoint's own tokenizer.model"
            )


def _random_texts(pieces: tuple[Piece, ...]) -> list[str]:
    """Strings of random pieces and characters, always the same ones for the same model."""
    rng = random.Random(0)
    words = [piece.text.replace("▁", " ") for piece in pieces if piece.type == NORMAL]

    def part() -> str:
        if rng.random() < 0.5:
            return rng.choice(words) * rng.choice((1, 1, 1, 2, 5))
        return "".join(rng.choices(rng.choice(_PROBE_ALPHABETS), k=rng.randint(1, 6)))

    return ["".join(part() for _ in range(rng.randint(1, 12))) for _ in range(RANDOM_PROBES)]
