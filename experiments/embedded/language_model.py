"""Pre-training the tiny end model on public dialogues in a general assistant's voice."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ecc_fed.core.records import Session, Turn
from ecc_fed.core.seeding import derive_rng, derive_seed
from ecc_fed.corpus.simulator.described import DescribedSession
from experiments.embedded.tokenizer import ASSISTANT, END, USER
from experiments.embedded.topics import TopicHead

MAX_TOKENS = 512
# Where and how strongly pre-training reads the question's topic, see `TopicHead`.
TOPIC_LAYER, TOPIC_WEIGHT = 3, 0.3
Item = TypeVar("Item")


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """A fresh Llama of about 2 million parameters."""
    torch.manual_seed(derive_seed(seed, "initial weights"))
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=192,
            num_hidden_layers=4,
            num_attention_heads=6,
            num_key_value_heads=3,
            intermediate_size=528,
            max_position_embeddings=MAX_TOKENS,
            rope_theta=10_000.0,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Ids of one dialogue, and the topics asked at the positions where the assistant begins to speak."""

    ids: list[int]
    topics: tuple[tuple[int, str], ...]


def read_topics(tokenizer: PreTrainedTokenizerFast, session: DescribedSession, ids: list[int]) -> Dialogue:
    """Marks each of the assistant's openings with its question's topics, where the session tells them."""
    opening = tokenizer.convert_tokens_to_ids(ASSISTANT)
    openings = [at for at, token in enumerate(ids) if token == opening]
    answers = [at for at, turn in enumerate(session.turns) if turn.role == "agent"]
    topics = []
    for position, at in zip(openings, answers, strict=False):  # a long dialogue loses its last turns
        intent = session.intents[at] if session.form_ids else None
        if intent:
            topics.append((position, intent))
    return Dialogue(ids, tuple(topics))


def encode_dialogues(tokenizer: PreTrainedTokenizerFast, sessions: Sequence[Session]) -> list[list[int]]:
    """Ids of whole dialogues, equal to the chat template's; longer ones are cut at the end."""
    user, assistant, end = (tokenizer.convert_tokens_to_ids(token) for token in (USER, ASSISTANT, END))
    turns: list[Turn] = [turn for session in sessions for turn in session.turns]
    texts = iter(tokenizer([turn.text for turn in turns], add_special_tokens=False)["input_ids"])
    dialogues = []
    for session in sessions:
        ids = [tokenizer.bos_token_id]
        for turn in session.turns:
            text = next(texts)
            ids += [user, *text] if turn.role == "customer" else [assistant, *text, end]
        dialogues.append(ids[:MAX_TOKENS])
    return dialogues


def token_parts(tokenizer: PreTrainedTokenizerFast) -> dict[int, list[int]]:
    """The ids of the characters of every token that has several."""
    vocabulary = tokenizer.get_vocab()
    return {
        index: [vocabulary[character] for character in token]
        for token, index in vocabulary.items()
        if len(token) > 1 and not token.startswith("<")
    }


def token_pieces(
    ids: list[int], parts: dict[int, list[int]], share: float, rng: np.random.Generator
) -> list[list[int]]:
    """The pieces of every token: itself, or for `share` of the tokens in `parts` its parts."""
    drawn = rng.random(len(ids)) < share
    return [parts.get(token, [token]) if split else [token] for token, split in zip(ids, drawn, strict=True)]


def split_tokens(ids: list[int], parts: dict[int, list[int]], share: float, rng: np.random.Generator) -> list[int]:
    """`ids` with `share` of the tokens in `parts` taken apart, cut to `MAX_TOKENS`."""
    return [token for piece in token_pieces(ids, parts, share, rng) for token in piece][:MAX_TOKENS]


def batches(
    tokenizer: PreTrainedTokenizerFast,
    sessions: Iterator[DescribedSession],
    batch_tokens: int,
    split_share: float,
    seed: int,
) -> Iterator[list[Dialogue]]:
    """Endless batches of about `batch_tokens` ids, dialogues of like length together so that padding is rare.

    `split_share` of the merged tokens stand as their single characters, so that a word is known in whatever
    pieces an unseen wording leaves it (subword regularization, Kudo, 2018).
    """
    rng = derive_rng(seed, "batch order")
    parts = token_parts(tokenizer)
    while True:
        drawn = [next(sessions) for _ in range(8192)]
        encoded = [split_tokens(ids, parts, split_share, rng) for ids in encode_dialogues(tokenizer, drawn)]
        pool = [read_topics(tokenizer, session, ids) for session, ids in zip(drawn, encoded, strict=True)]
        pool.sort(key=lambda dialogue: len(dialogue.ids))
        grouped: list[list[Dialogue]] = [[]]
        for dialogue in pool:
            if len(dialogue.ids) * (len(grouped[-1]) + 1) > batch_tokens:
                grouped.append([])
            grouped[-1].append(dialogue)
        for index in rng.permutation(len(grouped)):
            if grouped[index]:
                yield grouped[index]


def mix(streams: Sequence[Iterator[Item]], shares: Sequence[float], seed: int) -> Iterator[Item]:
    """Draws each item from stream i with probability `shares[i]`."""
    rng = derive_rng(seed, "mix")
    while True:
        for index in rng.choice(len(streams), size=1024, p=np.asarray(shares) / sum(shares)):
            yield next(streams[index])


def pad(rows: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
    """(rows, longest), filled at the right."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])


def scheduled_rate(step: int, steps: int, peak: float, warmup: int = 50) -> float:
    """Linear warm-up, flat, then a cosine over the last half down to a twentieth."""
    if step < warmup:
        return peak * (step + 1) / warmup
    decay = max(0.0, (step - steps / 2) / (steps / 2))
    return peak * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * decay)))


def _optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al., 2024) for the matrices, AdamW for embedding and norms.

    Over the first 0.6 million tokens it reached AdamW's loss in two thirds of the steps.
    """
    embedding = model.get_input_embeddings().weight
    matrices = [p for p in model.parameters() if p.ndim == 2 and p is not embedding]
    others = [p for p in model.parameters() if p.ndim < 2 or p is embedding]
    return [
        torch.optim.Muon(matrices, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def pretrain(
    model: LlamaForCausalLM,
    data: Iterator[list[Dialogue]],
    steps: int,
    peak_rate: float,
    device: torch.device,
    seed: int,
) -> dict[str, float]:
    """Next-token prediction over every token of the dialogues, both roles, and the topics of the questions."""
    model.to(device).train()
    # Plain attention trains faster than the fused kernel on these short rows, on a CPU by a third.
    model.set_attn_implementation("eager")
    torch.manual_seed(derive_seed(seed, "topic head"))
    head = TopicHead(model.config.hidden_size).to(device)
    optimizers = [*_optimizers(model), torch.optim.AdamW(head.parameters())]
    started, tokens, recent = time.monotonic(), 0, 0.0
    for step in range(steps):
        dialogues = next(data)
        ids = pad([dialogue.ids for dialogue in dialogues], -100).to(device)
        labels = ids[:, 1:].contiguous()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = scheduled_rate(step, steps, peak_rate)
        kept = labels != -100
        # bf16 products under fp32 master weights. Padding stands at the right of causal rows, so no
        # position that counts ever sees it.
        with torch.autocast(device.type, dtype=torch.bfloat16):
            output = model.model(ids[:, :-1].clamp_min(0), output_hidden_states=True)
            loss = torch.nn.functional.cross_entropy(model.lm_head(output.last_hidden_state[kept]), labels[kept])
        named = [(row, at, topic) for row, dialogue in enumerate(dialogues) for at, topic in dialogue.topics]
        named = [(row, at, topic) for row, at, topic in named if at < kept.shape[1]]
        openings = output.hidden_states[TOPIC_LAYER][[row for row, _, _ in named], [at for _, at, _ in named]]
        topic_loss = head.loss(openings, [topic for _, _, topic in named])
        model.zero_grad()
        head.zero_grad()
        (loss + TOPIC_WEIGHT * topic_loss).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        tokens += int(kept.sum())
        recent = loss.item() if step == 0 else 0.98 * recent + 0.02 * loss.item()
        if (step + 1) % 200 == 0 or step + 1 == steps:
            rate = tokens / (time.monotonic() - started)
            topics = topic_loss.item()
            print(f"  step {step + 1}/{steps} loss {recent:.3f} topics {topics:.3f} {rate:,.0f} tokens/s", flush=True)
    model.set_attn_implementation("sdpa")
    return {"tokens": float(tokens), "loss": recent, "seconds": time.monotonic() - started}


@torch.inference_mode()
def perplexity(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, sessions: Sequence[Session], device: torch.device
) -> float:
    """Per character of the assistant's turns, end marks counted in the likelihood."""
    model.eval()
    assistant, end = (tokenizer.convert_tokens_to_ids(token) for token in (ASSISTANT, END))
    nats, characters = 0.0, 0
    for session, ids in zip(sessions, encode_dialogues(tokenizer, sessions), strict=True):
        row = torch.tensor([ids], device=device)
        losses = torch.nn.functional.cross_entropy(model(row[:, :-1]).logits[0], row[0, 1:], reduction="none")
        speaking = False
        for position, token in enumerate(ids[1:]):
            if speaking:
                nats += float(losses[position])
            speaking = token == assistant or (speaking and token != end)
        characters += sum(len(turn.text) for turn in session.turns if turn.role == "agent")
    return math.exp(nats / max(1, characters))


@torch.inference_mode()
def copy_accuracy(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, sessions: Sequence[Session]) -> float:
    """Share of copy tasks whose last reply comes out greedily, to the character."""
    model.eval()
    right = 0
    for session in sessions:
        *before, last = session.turns
        prompt = [
            *encode_dialogues(tokenizer, [Session("", tuple(before))])[0],
            tokenizer.convert_tokens_to_ids(ASSISTANT),
        ]
        row = torch.tensor([prompt], device=model.device)
        reply = model.generate(row, attention_mask=torch.ones_like(row), do_sample=False, max_new_tokens=128)[0]
        right += tokenizer.decode(reply[len(prompt) :], skip_special_tokens=True).strip() == last.text.strip()
    return right / max(1, len(sessions))
