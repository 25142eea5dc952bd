"""BERT (Devlin et al., 2019) as an encoder, and with a classifier on its first token; equal to transformers'.

symbol   shape                 meaning
x        (texts, tokens, d)    LayerNorm(word + kind + position), then layer after layer
a        (texts, tokens, d)    LayerNorm(x + W_o softmax(q k' / sqrt(d / heads)) v), over tokens that are no padding
x        (texts, tokens, d)    LayerNorm(a + W_2 gelu(W_1 a))
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from ecc_fed.models.opening import OpenedModel
from ecc_fed.models.plain.opening import PlainConfig, open_plain, table


class _Embeddings(nn.Module):
    def __init__(self, config: PlainConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = table(config.vocab_size, width)
        self.position_embeddings = table(config.max_position_embeddings, width)
        self.token_type_embeddings = table(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, ids: Tensor, kinds: Tensor) -> Tensor:
        positions = torch.arange(ids.shape[1], device=ids.device)[None]
        x = self.word_embeddings(ids) + self.token_type_embeddings(kinds) + self.position_embeddings(positions)
        normed: Tensor = self.LayerNorm(x)
        return normed


class _Attention(nn.Module):
    query: Any
    key: Any
    value: Any

    def __init__(self, config: PlainConfig) -> None:
        super().__init__()
        self.head_dim = config.hidden_size // config.num_attention_heads
        for name in ("query", "key", "value"):
            setattr(self, name, nn.Linear(config.hidden_size, config.hidden_size))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        heads = (*x.shape[:-1], -1, self.head_dim)
        q, k, v = (part(x).view(heads).transpose(1, 2) for part in (self.query, self.key, self.value))
        found = scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=self.head_dim**-0.5)
        return found.transpose(1, 2).reshape(x.shape)


class _Added(nn.Module):
    """A linear map on top of what it began from."""

    def __init__(self, d_in: int, config: PlainConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(d_in, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, inner: Tensor, x: Tensor) -> Tensor:
        normed: Tensor = self.LayerNorm(self.dense(inner) + x)
        return normed


class _Layer(nn.Module):
    attention: Any
    intermediate: Any

    def __init__(self, config: PlainConfig) -> None:
        super().__init__()
        # Named as in checkpoints: attention.self, attention.output, intermediate.dense, output.
        self.attention, self.intermediate = nn.Module(), nn.Module()
        self.attention.self = _Attention(config)
        self.attention.output = _Added(config.hidden_size, config)
        self.intermediate.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.output = _Added(config.intermediate_size, config)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        attended = self.attention.output(self.attention.self(x, mask), x)
        mapped: Tensor = self.output(gelu(self.intermediate.dense(attended)), attended)
        return mapped


class Bert(nn.Module):
    """The encoder; `pooler.dense` is there for who needs it.

    Raises:
        Unusual: a decoder, or another activation.
    """

    encoder: Any
    pooler: Any

    def __init__(self, config: PlainConfig, architecture: str = "BertModel") -> None:
        super().__init__()
        config.expect(model_type="bert", architectures=[architecture], hidden_act="gelu")
        config.expect(is_decoder=False, add_cross_attention=False)
        if getattr(config, "position_embedding_type", "absolute") != "absolute":
            config.expect(position_embedding_type="absolute")
        self.config = config
        self.embeddings = _Embeddings(config)
        self.encoder, self.pooler = nn.Module(), nn.Module()
        self.encoder.layer = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))
        self.pooler.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> SimpleNamespace:
        """`last_hidden_state` (texts, tokens, d) of ids (texts, tokens); the mask is 1 for text and 0 for padding."""
        kinds = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        x = self.embeddings(input_ids, kinds)
        mask = None
        if not attention_mask.all():
            texts, tokens = input_ids.shape
            mask = attention_mask.bool()[:, None, None].expand(texts, 1, tokens, tokens)
        for layer in self.encoder.layer:
            x = layer(x, mask)
        return SimpleNamespace(last_hidden_state=x)


class BertClassifier(nn.Module):
    """`logits` (texts, labels) of the pooled first token: W tanh(W_p x[:, 0] + b_p) + b.

    Raises:
        Unusual: as for `Bert`.
    """

    bert: Any

    def __init__(self, config: PlainConfig) -> None:
        super().__init__()
        self.config = config
        config.num_labels = len(config.id2label)
        self.bert = Bert(config, "BertForSequenceClassification")
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> SimpleNamespace:
        """As `Bert.forward`."""
        hidden = self.bert(input_ids, attention_mask, token_type_ids).last_hidden_state
        return SimpleNamespace(logits=self.classifier(torch.tanh(self.bert.pooler.dense(hidden[:, 0]))))


def open_encoder(path: str, role: str, device: torch.device) -> OpenedModel | None:
    """The BERT at `path` in fp32, whose pooler may be missing; None where it is none, or not plain."""
    return open_plain(path, Bert, role, device, torch.float32, may_miss="pooler")


def open_classifier(path: str, role: str, device: torch.device) -> OpenedModel | None:
    """The BERT with a classifier at `path` in fp32; None where it is none, or not plain."""
    return open_plain(path, BertClassifier, role, device, torch.float32)
