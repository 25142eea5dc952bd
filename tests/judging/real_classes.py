"""Small random checkpoints of the classes that the judges' presets load."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizerFast,
    ErnieConfig,
    ErnieForSequenceClassification,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

CHARACTERS = "亲您好请问发什么快递中通圆通价格是元呢哦几点多少钱可以退货吗天内0123456789"
SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def _save_random(model: Any, folder: Path, seed: int) -> Path:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.3, generator=generator)
    model.save_pretrained(folder)
    return folder


def _save_bert_tokenizer(folder: Path, words: Sequence[str]) -> int:
    vocabulary = list(dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    BertTokenizerFast(vocab={word: index for index, word in enumerate(vocabulary)}).save_pretrained(folder)
    return len(vocabulary)


def save_bert(folder: Path, words: Sequence[str] = CHARACTERS) -> Path:
    """SimBERT, bge and MiniLM: a `BertModel` with its pooler."""
    size = _save_bert_tokenizer(folder, words)
    return _save_random(BertModel(BertConfig(vocab_size=size, max_position_embeddings=512, **SHAPE)), folder, 0)


def save_ernie_classifier(folder: Path, labels: int) -> Path:
    """RocketQA's cross encoder: ERNIE, two labels."""
    size = _save_bert_tokenizer(folder, CHARACTERS)
    config = ErnieConfig(
        vocab_size=size, max_position_embeddings=513, num_labels=labels, hidden_act="relu", pad_token_id=0, **SHAPE
    )
    return _save_random(ErnieForSequenceClassification(config), folder, 1)


def save_bert_classifier(folder: Path, labels: int) -> Path:
    """The same by a BERT."""
    size = _save_bert_tokenizer(folder, CHARACTERS)
    config = BertConfig(vocab_size=size, max_position_embeddings=512, num_labels=labels, **SHAPE)
    return _save_random(BertForSequenceClassification(config), folder, 2)


def save_xlm_roberta_classifier(folder: Path) -> Path:
    """bge's and bce's rerankers: XLM-RoBERTa, one label, pairs joined by two end marks and no segment ids."""
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -1.0)]
    pieces += [(character, -2.0) for character in dict.fromkeys(CHARACTERS)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(folder)
    config = XLMRobertaConfig(
        vocab_size=len(pieces), max_position_embeddings=514, num_labels=1, type_vocab_size=1, pad_token_id=1, **SHAPE
    )
    return _save_random(XLMRobertaForSequenceClassification(config), folder, 3)
