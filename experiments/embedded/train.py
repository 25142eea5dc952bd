"""Makes the embedded models from public simulated text. Its result is what ships.

    python -m experiments.embedded.train                     # all four, into the package
    python -m experiments.embedded.train --part relevance --out build --scale 0.1

The text, the held-out forms and values and every draw follow from `--seed`; the amount of training
from `--scale`. Wall-clock time decides nothing, so a run can be repeated.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

import ecc_fed
from ecc_fed.core.seeding import derive_seed
from ecc_fed.corpus.simulator.copying import alphabet
from ecc_fed.corpus.simulator.pack import load_pack
from ecc_fed.corpus.simulator.public import assistant_dialogues, copy_tasks, query_contrasts, reply_contrasts
from experiments.embedded import encoders, language_model
from experiments.embedded.card import publish, stage_model, table
from experiments.embedded.measures import question_measures, relevance_measures, similarity_measures
from experiments.embedded.rewording import restatements, with_slips
from experiments.embedded.tokenizer import build_vocabulary, chat_tokenizer, encoder_tokenizer

PACKAGE = Path(ecc_fed.__file__).parent
PLACES = {
    "end_model": PACKAGE / "end_model" / "embedded",
    "similarity": PACKAGE / "judging" / "embedded" / "similarity",
    "relevance": PACKAGE / "judging" / "embedded" / "relevance",
    "questions": PACKAGE / "judging" / "embedded" / "questions",
}
VOCABULARY_SIZE = 2400
ENCODER_MAX_TOKENS = 256
# At --scale 1: about half an hour for the end model and ten minutes an encoder on one CPU core.
STEPS = {"end_model": 4000, "similarity": 2400, "relevance": 2400, "questions": 1000}
PEAK_RATE = {"end_model": 5e-3, "similarity": 1e-3, "relevance": 1e-3, "questions": 1e-3}
_WORDINGS = (
    "Public speakers use the lexicon's training forms and the further wordings of `packs/zh/wordings.toml`, "
    "which was written without sight of the held-out forms."
)
# Of the end model's text: dialogues, copy tasks, restated questions.
MIX = (0.6, 0.25, 0.15)
SLIP_SHARE, SPLIT_SHARE = 0.3, 0.2


def public_vocabulary(seed: int) -> Tokenizer:
    """The vocabulary all models share: merges of public text over the whole lexicon's characters."""
    sessions = islice(assistant_dialogues(derive_seed(seed, "vocabulary")), 6000)
    texts = [turn.text for session in sessions for turn in session.turns]
    contrasts = islice(reply_contrasts(derive_seed(seed, "vocabulary replies"), False), 3000)
    texts += [text for row in contrasts for text in (row.anchor, row.same_meaning)]
    return build_vocabulary(texts, alphabet(load_pack("zh")), VOCABULARY_SIZE)


def train_end_model(folder: Path, seed: int, scale: float, device: torch.device, command: str) -> None:
    """Pre-trains and publishes the tiny end model."""
    tokenizer = chat_tokenizer(public_vocabulary(seed), language_model.MAX_TOKENS)
    model = language_model.new_model(tokenizer, derive_seed(seed, "end_model"))
    dialogues = with_slips(assistant_dialogues(derive_seed(seed, "dialogues")), SLIP_SHARE, derive_seed(seed, "slips"))
    streams = [dialogues, copy_tasks(derive_seed(seed, "copies")), restatements(derive_seed(seed, "restatements"))]
    sessions = language_model.mix(streams, MIX, derive_seed(seed, "mix"))
    data = language_model.batches(
        tokenizer, sessions, batch_tokens=2048, split_share=SPLIT_SHARE, seed=derive_seed(seed, "batches")
    )
    steps = max(1, round(STEPS["end_model"] * scale))
    figures = language_model.pretrain(model, data, steps, PEAK_RATE["end_model"], device, derive_seed(seed, "pretrain"))
    held_out = list(islice(assistant_dialogues(derive_seed(seed, "held out")), 500))
    figures["perplexity per character on unseen public dialogues"] = language_model.perplexity(
        model, tokenizer, held_out, device
    )
    copies = list(islice(copy_tasks(derive_seed(seed, "held-out copies")), 300))
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
        top_p=0.8,
        temperature=0.6,
    )
    figures["copy tasks solved, unseen texts"] = language_model.copy_accuracy(model, tokenizer, copies)
    figures = {"parameters": model.num_parameters(), "steps": steps, "vocabulary": len(tokenizer), **figures}
    publish(
        stage_model(folder, model, tokenizer),
        folder,
        "Tiny end model",
        {
            "What it is": "A Llama of about two million parameters that speaks as a general shopping assistant: "
            "polite, fluent in simulated Chinese customer-service text, ignorant of any shop. "
            "It knows no real Chinese.",
            "Data": "Public simulated dialogues in the assistant's voice, copy tasks, and public questions "
            "restated in other words, from `ecc_fed.corpus.simulator.public`. No private shop's dialogue or fact "
            "is in it.",
            "Made by": _origin(command, seed, figures),
            "Figures": table(figures),
        },
    )


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one encoder is made: a fresh model, its rows, its training, and what its card measures."""

    title: str
    purpose: str
    new_model: Callable[[PreTrainedTokenizerFast, int, int], PreTrainedModel]
    rows: Callable[[int], Iterator[Any]]
    train: Callable[..., dict[str, float]]
    measures: Callable[[str, int, bool], dict[str, float]]


def _relevance_rows(seed: int) -> Iterator[encoders.Example]:
    rows = query_contrasts(derive_seed(seed, "query contrasts"), held_out=False)
    contrasts = encoders.labelled_pairs(rows, derive_seed(seed, "labels"))
    dialogues = encoders.dialogue_pairs(assistant_dialogues(derive_seed(seed, "relevance dialogues")), seed)
    return language_model.mix([contrasts, dialogues], [0.75, 0.25], derive_seed(seed, "relevance mix"))


ENCODERS = {
    "similarity": Recipe(
        "Tiny similarity encoder",
        "tells whether two replies say the same",
        encoders.new_bi_encoder,
        lambda seed: reply_contrasts(derive_seed(seed, "reply contrasts"), held_out=False),
        encoders.train_similarity,
        similarity_measures,
    ),
    "relevance": Recipe(
        "Tiny relevance cross encoder",
        "tells whether a reply answers a question",
        encoders.new_relevance,
        _relevance_rows,
        encoders.train_relevance,
        relevance_measures,
    ),
    "questions": Recipe(
        "Tiny question encoder",
        "finds a question's paraphrases and its replies; by it the simulated cloud understands a question",
        encoders.new_bi_encoder,
        lambda seed: query_contrasts(derive_seed(seed, "question contrasts"), held_out=False),
        encoders.train_questions,
        question_measures,
    ),
}


def train_encoder(part: str, folder: Path, seed: int, scale: float, device: torch.device, command: str) -> None:
    """Trains and publishes the encoder named `part`."""
    recipe = ENCODERS[part]
    tokenizer = encoder_tokenizer(public_vocabulary(seed), ENCODER_MAX_TOKENS)
    model = recipe.new_model(tokenizer, ENCODER_MAX_TOKENS, derive_seed(seed, part))
    steps = max(1, round(STEPS[part] * scale))
    figures = recipe.train(model, tokenizer, recipe.rows(seed), steps, PEAK_RATE[part], device, seed)
    aside = stage_model(folder, model, tokenizer)
    held_out = recipe.measures(str(aside), derive_seed(seed, "card"), True)
    trained = recipe.measures(str(aside), derive_seed(seed, "card"), False)
    publish(
        aside,
        folder,
        recipe.title,
        {
            "What it is": f"A BERT of about one million parameters that {recipe.purpose}. It knows simulated Chinese "
            "shop dialogues alone, no real Chinese: none of its scores means anything outside the simulator's "
            "language.",
            "Data": f"Contrasts of public simulated shops from `ecc_fed.corpus.simulator.public`. {_WORDINGS} A share "
            "of the surface forms *and* of the values (couriers, prices, coupons, products) is held out of training.",
            "Made by": _origin(command, seed, {"steps": steps, **figures}),
            "On held-out forms and values": table(held_out),
            "On the forms and values of training": table(trained),
        },
    )


def _origin(command: str, seed: int, figures: dict[str, float]) -> str:
    return (
        f"`{command}` (seed {seed}), {figures['steps']:.0f} steps in {figures['seconds']:.0f} s, "
        f"PyTorch {torch.__version__} on {platform.machine()}, {torch.get_num_threads()} thread(s)."
    )


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=[*PLACES, "all"], default="all")
    parser.add_argument("--out", type=Path, help="folder for the models; without it they go into the package")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="times the full number of steps")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    wanted = options.device if options.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    parts = list(PLACES) if options.part == "all" else [options.part]
    for part in parts:
        folder = options.out / part if options.out else PLACES[part]
        command = f"python -m experiments.embedded.train --part {part} --seed {options.seed} --scale {options.scale:g}"
        started = time.monotonic()
        print(f"{part}:", flush=True)
        train = train_end_model if part == "end_model" else partial(train_encoder, part)
        train(folder, options.seed, options.scale, torch.device(wanted), command)
        print(f"  {folder} in {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
