"""Training the two judges: a bi-encoder for similarity, a cross encoder for relevance."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import torch
from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

from ecc_fed.core.seeding import derive_rng, derive_seed
from ecc_fed.judging.similarity import pool
from experiments.embedded.language_model import scheduled_rate

TEMPERATURE = 0.05


def new_config(tokenizer: PreTrainedTokenizerFast, max_tokens: int) -> BertConfig:
    """A BERT of about one million parameters."""
    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=384,
        max_position_embeddings=max_tokens,
        pad_token_id=tokenizer.pad_token_id,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=1,
    )


def new_similarity(tokenizer: PreTrainedTokenizerFast, max_tokens: int, seed: int) -> BertModel:
    """A fresh encoder without a pooler: its vectors are means."""
    torch.manual_seed(derive_seed(seed, "initial weights"))
    return BertModel(new_config(tokenizer, max_tokens), add_pooling_layer=False)


def new_relevance(tokenizer: PreTrainedTokenizerFast, max_tokens: int, seed: int) -> BertForSequenceClassification:
    """A fresh cross encoder of one label."""
    torch.manual_seed(derive_seed(seed, "initial weights"))
    return BertForSequenceClassification(new_config(tokenizer, max_tokens))


def similarity_loss(
    vectors: torch.Tensor, count: int, low: float = 0.5, high: float = 0.9, pull: float = 4.0
) -> torch.Tensor:
    """InfoNCE with hard negatives, and hinges that fix the scale of the cosine.

    symbol   shape         meaning
    vectors  (4 count, d)  unit vectors: anchors, same meanings, wrong values, other contents
    tau                    `TEMPERATURE`
        L = -log exp(a_i s_i / tau) / sum_j exp(a_i c_j / tau), c over all 3 count candidates
          + pull * mean(relu(high - a_i s_i)^2 + relu(a_i w_i - low)^2 + relu(a_i o_i - low)^2)
    InfoNCE alone orders the candidates of one anchor; a threshold needs one scale for all anchors.
    """
    anchors, candidates = vectors[:count], vectors[count:]
    cosine = anchors @ candidates.T
    ranking = torch.nn.functional.cross_entropy(cosine / TEMPERATURE, torch.arange(count, device=vectors.device))
    same, wrong, other = (cosine.diagonal(offset) for offset in (0, count, 2 * count))
    scale = (high - same).relu() ** 2 + (wrong - low).relu() ** 2 + (other - low).relu() ** 2
    return ranking + pull * scale.mean()


def train_similarity(
    model: BertModel,
    tokenizer: PreTrainedTokenizerFast,
    contrasts: Iterator[tuple[str, str, str, str]],
    steps: int,
    peak_rate: float,
    device: torch.device,
    batch_size: int = 48,
) -> dict[str, float]:
    """Steps over (anchor, same meaning, wrong value, other content)."""

    def loss(_: int) -> torch.Tensor:
        rows = [next(contrasts) for _ in range(batch_size)]
        texts = [text for column in zip(*rows, strict=True) for text in column]
        batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(device)
        hidden = model(**batch).last_hidden_state
        vectors = torch.nn.functional.normalize(pool(hidden, batch["attention_mask"], "mean", model), dim=-1)
        return similarity_loss(vectors, batch_size)

    return _optimize(model.to(device), loss, steps, peak_rate)


def train_relevance(
    model: BertForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    examples: Iterator[tuple[str, str, int]],
    steps: int,
    peak_rate: float,
    device: torch.device,
    batch_size: int = 96,
) -> dict[str, float]:
    """Steps over (query, reply, label) by binary cross-entropy."""

    def loss(_: int) -> torch.Tensor:
        queries, replies, labels = zip(*[next(examples) for _ in range(batch_size)], strict=True)
        batch = tokenizer(list(queries), list(replies), padding=True, truncation=True, return_tensors="pt").to(device)
        target = torch.tensor(labels, dtype=torch.float32, device=device)
        return torch.nn.functional.binary_cross_entropy_with_logits(model(**batch).logits[:, 0], target)

    return _optimize(model.to(device), loss, steps, peak_rate)


def labelled_pairs(
    contrasts: Iterator[tuple[str, str, str, Sequence[str]]], seed: int
) -> Iterator[tuple[str, str, int]]:
    """(query, reply, 1) and (query, another question's reply, 0), half and half.

    `contrasts` yields (query, paraphrase, reply, replies to other questions).
    """
    rng = derive_rng(seed, "labelled pairs")
    for query, paraphrase, reply, others in contrasts:
        yield query, reply, 1
        yield paraphrase, reply, 1
        for question in (query, paraphrase):
            yield question, others[int(rng.integers(len(others)))], 0


def _optimize(
    model: torch.nn.Module, loss_of: Callable[[int], torch.Tensor], steps: int, peak_rate: float
) -> dict[str, float]:
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak_rate, weight_decay=0.01)
    started, recent = time.monotonic(), 0.0
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = scheduled_rate(step, steps, peak_rate)
        loss = loss_of(step)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        recent = loss.item() if step == 0 else 0.98 * recent + 0.02 * loss.item()
        if (step + 1) % 100 == 0 or step + 1 == steps:
            print(f"  step {step + 1}/{steps} loss {recent:.3f} {time.monotonic() - started:.0f} s", flush=True)
    model.eval()
    return {"loss": recent, "seconds": time.monotonic() - started}
