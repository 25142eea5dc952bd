"""Training the encoders: similarity of replies and of questions (bi-encoders), relevance (a cross encoder)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

from ecc_fed.core.seeding import derive_rng, derive_seed
from ecc_fed.corpus.simulator.described import DescribedSession
from ecc_fed.corpus.simulator.public import QueryContrast, ReplyContrast
from ecc_fed.judging.similarity import pool
from experiments.embedded.language_model import pad, scheduled_rate, split_tokens, token_parts, token_pieces
from experiments.embedded.tokenizer import SPECIALS, USER
from experiments.embedded.topics import TopicHead

TEMPERATURE = 0.05
# Training hides this share of the tokens that may be hidden, behind a mark that no text contains.
HIDDEN_SHARE, HIDDEN_MARK, GUESSING_WEIGHT = 0.15, USER, 0.3
# Both encoders name their texts' topics in the middle layer; the head is thrown away after training.
TOPIC_LAYER, TOPIC_WEIGHT = 2, 0.3
SPLIT_SHARE = 0.2  # see `split_tokens`


@dataclass(frozen=True, slots=True)
class Example:
    """A reply that answers the query or not, and what each of them is about."""

    query: str
    reply: str
    right: bool
    asked: str
    answered: str


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


def new_bi_encoder(tokenizer: PreTrainedTokenizerFast, max_tokens: int, seed: int) -> BertModel:
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


def guessing_loss(
    states: torch.Tensor, shown: torch.Tensor, ids: torch.Tensor, embedding: torch.Tensor
) -> torch.Tensor:
    """Cross-entropy of naming the hidden tokens: a masked language model tied to the input embedding.

    It gives every token of a batch something to learn, where one label a pair gives little.
    """
    hidden = shown != ids
    return torch.nn.functional.cross_entropy(states[hidden] @ embedding.T, ids[hidden])


def _wording(encoded: Sequence[list[int]], count: int, special: int) -> list[list[int]]:
    """1 for the tokens of anchors and same meanings that the partner lacks: wording, never the shared value."""
    flags = [[0] * len(ids) for ids in encoded]
    for at in range(count):
        for own, other in ((at, at + count), (at + count, at)):
            partner = set(encoded[other])
            flags[own] = [int(token >= special and token not in partner) for token in encoded[own]]
    return flags


class Aids:
    """What every encoder trains with beside its own loss: split tokens, hidden tokens, and topics to be named."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, hidden_size: int, device: torch.device, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(derive_seed(seed, "hidden tokens"))
        self._rng, self._parts = derive_rng(seed, "split tokens"), token_parts(tokenizer)
        self._mark = tokenizer.convert_tokens_to_ids(HIDDEN_MARK)
        torch.manual_seed(derive_seed(seed, "topic head"))
        self.head = TopicHead(hidden_size).to(device)

    def split(self, ids: list[int]) -> list[int]:
        """A share of the merged tokens taken apart."""
        return split_tokens(ids, self._parts, SPLIT_SHARE, self._rng)

    def split_flagged(self, ids: list[int], flags: list[int]) -> tuple[list[int], list[int]]:
        """As `split`, the pieces flagged as the whole was."""
        pieces = token_pieces(ids, self._parts, SPLIT_SHARE, self._rng)
        long_flags = [flag for piece, flag in zip(pieces, flags, strict=True) for _ in piece]
        return [token for piece in pieces for token in piece], long_flags

    def hide(self, ids: torch.Tensor, hideable: torch.Tensor) -> torch.Tensor:
        """`ids` with `HIDDEN_SHARE` of the `hideable` tokens replaced by the mark."""
        drawn = torch.rand(ids.shape, generator=self._generator) < HIDDEN_SHARE
        return torch.where(drawn & hideable, self._mark, ids)


def train_similarity(
    model: BertModel,
    tokenizer: PreTrainedTokenizerFast,
    contrasts: Iterator[ReplyContrast],
    steps: int,
    peak_rate: float,
    device: torch.device,
    seed: int,
    batch_size: int = 48,
) -> dict[str, float]:
    """Steps over contrasts; some words of anchor and same meaning are hidden and to be guessed, topics to be named."""
    aids = Aids(tokenizer, model.config.hidden_size, device, seed)

    def loss() -> torch.Tensor:
        rows = [next(contrasts) for _ in range(batch_size)]
        texts = [row.anchor for row in rows] + [row.same_meaning for row in rows]
        texts += [row.wrong_value for row in rows] + [row.other_content for row in rows]
        encoded = tokenizer(texts, truncation=True)["input_ids"]
        hideable = _wording(encoded, batch_size, len(SPECIALS))
        drawn = [aids.split_flagged(ids, flags) for ids, flags in zip(encoded, hideable, strict=True)]
        ids = pad([pieces for pieces, _ in drawn], tokenizer.pad_token_id)
        mask = (ids != tokenizer.pad_token_id).long().to(device)
        shown = aids.hide(ids, pad([flags for _, flags in drawn], 0).bool()).to(device)
        ids = ids.to(device)
        states = model(input_ids=shown, attention_mask=mask, output_hidden_states=True)
        vectors = torch.nn.functional.normalize(pool(states.last_hidden_state, mask, "mean", model), dim=-1)
        guessing = guessing_loss(states.last_hidden_state, shown, ids, model.get_input_embeddings().weight)
        middle = pool(states.hidden_states[TOPIC_LAYER], mask, "mean", model)
        topics = aids.head.loss(middle, [row.intent for row in rows] * 3 + [row.other_intent for row in rows])
        return similarity_loss(vectors, batch_size) + GUESSING_WEIGHT * guessing + TOPIC_WEIGHT * topics

    return _optimize(model.to(device), aids.head, loss, steps, peak_rate)


def question_loss(vectors: torch.Tensor, intents: Sequence[str]) -> torch.Tensor:
    """InfoNCE of questions against their paraphrases and against their replies.

    symbol   shape         meaning
    vectors  (3 count, d)  unit vectors: questions q, paraphrases p, replies r
    tau                    `TEMPERATURE`
        L = -sum over c in {p, r} of log exp(q_i c_i / tau) / sum_j exp(q_i c_j / tau),
    j over i and the rows of other intents: another shop's reply to the same question is no contrast.
    """
    count = len(intents)
    questions, *candidates = vectors.split(count)
    names = np.asarray(intents)
    alike = torch.from_numpy(names[:, None] == names[None, :]) & ~torch.eye(count, dtype=torch.bool)
    loss = vectors.new_zeros(())
    for candidate in candidates:
        scores = (questions @ candidate.T / TEMPERATURE).masked_fill(alike.to(vectors.device), -torch.inf)
        loss = loss + torch.nn.functional.cross_entropy(scores, torch.arange(count, device=vectors.device))
    return loss


def train_questions(
    model: BertModel,
    tokenizer: PreTrainedTokenizerFast,
    contrasts: Iterator[QueryContrast],
    steps: int,
    peak_rate: float,
    device: torch.device,
    seed: int,
    batch_size: int = 64,
) -> dict[str, float]:
    """Steps over questions, their paraphrases and their replies, with their topics to be named."""
    aids = Aids(tokenizer, model.config.hidden_size, device, seed)

    def loss() -> torch.Tensor:
        rows = [next(contrasts) for _ in range(batch_size)]
        intents = [row.intent for row in rows]
        texts = [row.query for row in rows] + [row.paraphrase for row in rows] + [row.reply for row in rows]
        encoded = tokenizer(texts, truncation=True)["input_ids"]
        ids = pad([aids.split(row) for row in encoded], tokenizer.pad_token_id).to(device)
        mask = (ids != tokenizer.pad_token_id).long()
        states = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        vectors = torch.nn.functional.normalize(pool(states.last_hidden_state, mask, "mean", model), dim=-1)
        topics = aids.head.loss(pool(states.hidden_states[TOPIC_LAYER], mask, "mean", model), intents * 3)
        return question_loss(vectors, intents) + TOPIC_WEIGHT * topics

    return _optimize(model.to(device), aids.head, loss, steps, peak_rate)


def train_relevance(
    model: BertForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    examples: Iterator[Example],
    steps: int,
    peak_rate: float,
    device: torch.device,
    seed: int,
    batch_size: int = 96,
) -> dict[str, float]:
    """Steps over examples by binary cross-entropy; some tokens are hidden and to be guessed, topics to be named."""
    aids = Aids(tokenizer, model.config.hidden_size, device, seed)

    def loss() -> torch.Tensor:
        rows = [next(examples) for _ in range(batch_size)]
        pairs = tokenizer([row.query for row in rows], [row.reply for row in rows], truncation=True)["input_ids"]
        ids = pad([aids.split(pair) for pair in pairs], tokenizer.pad_token_id)
        mask = (ids != tokenizer.pad_token_id).long()
        ended = (ids == tokenizer.sep_token_id).long()
        reply = ((ended.cumsum(1) - ended) == 1).long() * mask  # after the first end mark: the second segment
        shown = aids.hide(ids, ids >= len(SPECIALS)).to(device)
        ids, mask, reply = ids.to(device), mask.to(device), reply.to(device)
        states = model.bert(input_ids=shown, attention_mask=mask, token_type_ids=reply, output_hidden_states=True)
        logits = model.classifier(states.pooler_output)[:, 0]
        target = torch.tensor([row.right for row in rows], dtype=torch.float32, device=device)
        right = target.bool()
        guessing = guessing_loss(
            states.last_hidden_state[right], shown[right], ids[right], model.bert.get_input_embeddings().weight
        )
        middle = states.hidden_states[TOPIC_LAYER]
        topics = aids.head.loss(pool(middle, mask * (1 - reply), "mean", model), [row.asked for row in rows])
        topics = topics + aids.head.loss(pool(middle, mask * reply, "mean", model), [row.answered for row in rows])
        matching = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
        return matching + GUESSING_WEIGHT * guessing + TOPIC_WEIGHT * topics

    return _optimize(model.to(device), aids.head, loss, steps, peak_rate)


def dialogue_pairs(sessions: Iterator[DescribedSession], seed: int) -> Iterator[Example]:
    """A right example of one exchange and a wrong one over two exchanges of different intent, by turns."""
    rng = derive_rng(seed, "dialogue pairs")
    for session in sessions:
        queries, replies, intents = session.turns[::2], session.turns[1::2], session.intents[::2]
        for at, query in enumerate(queries):
            others = [i for i, intent in enumerate(intents) if intent != intents[at]]
            if not others or (session.form_ids and "switch" in (session.form_ids[2 * at] or "")):
                continue  # "and this one?" goes with any answer
            other = others[int(rng.integers(len(others)))]
            asked, answered = intents[at] or "", intents[other] or ""
            yield Example(query.text, replies[at].text, True, asked, asked)
            yield Example(query.text, replies[other].text, False, asked, answered)


def labelled_pairs(contrasts: Iterator[QueryContrast], seed: int) -> Iterator[Example]:
    """Right replies and replies to another question, half and half."""
    rng = derive_rng(seed, "labelled pairs")
    for row in contrasts:
        for question in (row.query, row.paraphrase):
            yield Example(question, row.reply, True, row.intent, row.intent)
            other = int(rng.integers(len(row.other_replies)))
            yield Example(question, row.other_replies[other], False, row.intent, row.other_intents[other])


def _optimize(
    model: torch.nn.Module,
    head: torch.nn.Module,
    loss_of: Callable[[], torch.Tensor],
    steps: int,
    peak_rate: float,
) -> dict[str, float]:
    model.train()
    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=peak_rate, weight_decay=0.01)
    started, recent = time.monotonic(), 0.0
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = scheduled_rate(step, steps, peak_rate)
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        recent = loss.item() if step == 0 else 0.98 * recent + 0.02 * loss.item()
        if (step + 1) % 100 == 0 or step + 1 == steps:
            print(f"  step {step + 1}/{steps} loss {recent:.3f} {time.monotonic() - started:.0f} s", flush=True)
    model.eval()
    return {"loss": recent, "seconds": time.monotonic() - started}
