from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"亲您好请问发什么快递中通圆通价格是元呢哦几点多少钱0123456789"]


def _save_tokenizer(folder: Path) -> None:
    vocabulary = {word: index for index, word in enumerate(dict.fromkeys(WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)


def _config(labels: int) -> BertConfig:
    return BertConfig(
        vocab_size=len(set(WORDS)),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=48,
        num_labels=labels,
    )


@pytest.fixture
def encoder_folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = BertModel(_config(2))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(tmp_path / "encoder")
    _save_tokenizer(tmp_path / "encoder")
    return tmp_path / "encoder"


@pytest.fixture
def classifier_folder(tmp_path: Path) -> Callable[[int], Path]:
    def make(labels: int) -> Path:
        torch.manual_seed(1)
        model = BertForSequenceClassification(_config(labels))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        model.save_pretrained(tmp_path / f"classifier{labels}")
        _save_tokenizer(tmp_path / f"classifier{labels}")
        return tmp_path / f"classifier{labels}"

    return make
