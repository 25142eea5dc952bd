"""Training the two judges: a bi-encoder for similarity, a cross encoder for relevance."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import torch
from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

from ecc_fed.core.records import Session
from ecc_fed.core.seeding import derive_rng, derive_seed
from ecc_fed.judging.similarity import pool
from experiments.embedded.language_model import scheduled_rate
from experiments.embedded.tokenizer import SPECIALS, USER

TEMPERATURE = 0.05
# Training hides this share of the tokens that may be hidden, behind a mark that no text contains.
HIDDEN_SHARE, HIDDEN_MARK, GUESSING_WEIGHT = 0.15, USER, 0.3


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


def hide(ids: torch.Tensor, hideable: torch.Tensor, mark: int, generator: torch.Generator) -> torch.Tensor:
    """`ids` with `HIDDEN_SHARE` of the `hideable` tokens replaced by `mark`."""
    drawn = torch.rand(ids.shape, generator=generator) < HIDDEN_SHARE
    return torch.where(drawn & hideable, mark, ids)


def guessing_loss(
    states: torch.Tensor, shown: torch.Tensor, ids: torch.Tensor, embedding: torch.Tensor
) -> torch.Tensor:
    """Cross-entropy of naming the hidden tokens: a masked language model tied to the input embedding.

    It gives every token of a batch something to learn, where one label a pair gives little.
    """
    hidden = shown != ids
    return torch.nn.functional.cross_entropy(states[hidden] @ embedding.T, ids[hidden])


def _form_tokens(ids: torch.Tensor, partner: torch.Tensor, special: int) -> torch.Tensor:
    """Tokens of each row that its partner row lacks: wording, never the value that both state."""
    shared = (ids[:, :, None] == partner[:, None, :]).any(-1)
    return ~shared & (ids >= special)


def train_similarity(
    model: BertModel,
    tokenizer: PreTrainedTokenizerFast,
    contrasts: Iterator[tuple[str, str, str, str]],
    steps: int,
    peak_rate: float,
    device: torch.device,
    seed: int,
    batch_size: int = 48,
) -> dict[str, float]:
    """Steps over (anchor, same meaning, wrong value, other content), some words of the first two hidden."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "hidden tokens"))
    mark, special = tokenizer.convert_tokens_to_ids(HIDDEN_MARK), len(SPECIALS)

    def loss(_: int) -> torch.Tensor:
        rows = [next(contrasts) for _ in range(batch_size)]
        texts = [text for column in zip(*rows, strict=True) for text in column]
        batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        ids, anchors, same = batch["input_ids"], *batch["input_ids"][: 2 * batch_size].chunk(2)
        wording = torch.zeros_like(ids, dtype=torch.bool)
        wording[:batch_size] = _form_tokens(anchors, same, special)
        wording[batch_size : 2 * batch_size] = _form_tokens(same, anchors, special)
        shown = hide(ids, wording, mark, generator).to(device)
        ids, mask = ids.to(device), batch["attention_mask"].to(device)
        states = model(input_ids=shown, attention_mask=mask).last_hidden_state
        vectors = torch.nn.functional.normalize(pool(states, mask, "mean", model), dim=-1)
        embedding = model.get_input_embeddings().weight
        return similarity_loss(vectors, batch_size) + GUESSING_WEIGHT * guessing_loss(states, shown, ids, embedding)

    return _optimize(model.to(device), loss, steps, peak_rate)


def train_relevance(
    model: BertForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    examples: Iterator[tuple[str, str, int]],
    steps: int,
    peak_rate: float,
    device: torch.device,
    seed: int,
    batch_size: int = 96,
) -> dict[str, float]:
    """Steps over (query, reply, label) by binary cross-entropy, some tokens hidden and to be guessed."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "hidden tokens"))
    mark, special = tokenizer.convert_tokens_to_ids(HIDDEN_MARK), len(SPECIALS)

    def loss(_: int) -> torch.Tensor:
        queries, replies, labels = zip(*[next(examples) for _ in range(batch_size)], strict=True)
        batch = tokenizer(list(queries), list(replies), padding=True, truncation=True, return_tensors="pt")
        shown = hide(batch["input_ids"], batch["input_ids"] >= special, mark, generator).to(device)
        ids = batch.pop("input_ids").to(device)
        states = model.bert(input_ids=shown, **batch.to(device))
        logits = model.classifier(states.pooler_output)[:, 0]
        target = torch.tensor(labels, dtype=torch.float32, device=device)
        right = target.bool()
        guessing = guessing_loss(
            states.last_hidden_state[right], shown[right], ids[right], model.bert.get_input_embeddings().weight
        )
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, target) + GUESSING_WEIGHT * guessing

    return _optimize(model.to(device), loss, steps, peak_rate)


def dialogue_pairs(sessions: Iterator[Session], seed: int) -> Iterator[tuple[str, str, int]]:
    """(query, reply, 1) of one exchange and (query, reply, 0) over two exchanges of different intent."""
    rng = derive_rng(seed, "dialogue pairs")
    for session in sessions:
        queries, replies, intents = session.turns[::2], session.turns[1::2], session.intents[::2]
        for at, query in enumerate(queries):
            others = [i for i, intent in enumerate(intents) if intent != intents[at]]
            if not others or (session.form_ids and "switch" in (session.form_ids[2 * at] or "")):
                continue  # "and this one?" goes with any answer
            yield query.text, replies[at].text, 1
            yield query.text, replies[others[int(rng.integers(len(others)))]].text, 0


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
