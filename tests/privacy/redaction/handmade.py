"""Token classifiers made by hand: the tokens of which labels are said, and the weights follow.

A token's embedding is the row of its label in a unit matrix, no layer changes it, and the head reads it: so each token
gets its label with nearly all of the probability, wherever it stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def save_classifier(folder: Path, labels: Mapping[str, str], sharpness: float = 30.0, layers: int = 0) -> Path:
    """A BERT whose tokens have the label that `labels` says, all others "O"; with layers, all is drawn at random."""
    words = [*SPECIAL, *dict.fromkeys(labels)]
    tokenizer = Tokenizer(models.WordPiece({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, handle_chinese_chars=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return save_with(folder, tokenizer, words, labels, sharpness, layers)


def save_byte_classifier(folder: Path, labels: Mapping[bytes, str]) -> Path:
    """The same for single bytes: a Chinese sign is three tokens, and its first one's label is the sign's."""
    signs = dict(zip(_BYTES, sorted(pre_tokenizers.ByteLevel.alphabet()), strict=True))
    words = [*SPECIAL, *signs.values()]
    tokenizer = Tokenizer(models.BPE({word: place for place, word in enumerate(words)}, [], unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return save_with(folder, tokenizer, words, {signs[each[0]]: label for each, label in labels.items()})


# Those that are printed as they are, and the others behind them, as byte-level tokenizers write them.
_PRINTED = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
_BYTES = [*_PRINTED, *(each for each in range(256) if each not in _PRINTED)]


def save_with(
    folder: Path,
    tokenizer: Tokenizer,
    words: Sequence[str],
    labels: Mapping[str, str],
    sharpness: float = 30.0,
    layers: int = 0,
) -> Path:
    """Tokenizer and model, as `save_pretrained` writes them."""
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", words.index("[CLS]")), ("[SEP]", words.index("[SEP]"))]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=512,
    )
    named = list(dict.fromkeys(["O", *labels.values()]))
    size = 2 * (len(named) // 2 + 1)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=size,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=512,
        id2label=dict(enumerate(named)),
        label2id={label: place for place, label in enumerate(named)},
    )
    model: Any = BertForTokenClassification(config)
    with torch.no_grad():
        if not layers:
            table = model.bert.embeddings
            table.position_embeddings.weight.zero_()
            table.token_type_embeddings.weight.zero_()
            for place, word in enumerate(words):
                table.word_embeddings.weight[place] = torch.eye(size)[named.index(labels.get(word, "O"))]
            model.classifier.weight.copy_(sharpness * torch.eye(size)[: len(named)] / size**0.5)
            model.classifier.bias.zero_()
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
