"""The shops of the benchmarks' whole runs, and their settings. No torch here: a run's own process needs none."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from ecc_fed.core.records import Example, FineTuneSettings, Turn

RANK, LORA_ALPHA = 8, 32.0
SPECIALS = ("<pad>", "<unknown>", "<end>", "<customer>")
SHAPES: dict[str, dict[str, Any]] = {
    # About five million parameters.
    "tiny": {
        "vocab_size": 4096,
        "hidden_size": 256,
        "intermediate_size": 704,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
    },
    # SmolLM2-135M's shape.
    "m135": {
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
    },
}


def shop_texts(shape: str, shop: int, examples: int) -> tuple[Example, ...]:
    """A shop's examples as text for the tokenizer of `save_base`, as long as those of `random_examples`."""
    generator = np.random.default_rng([1, shop])

    def words(count: int) -> str:
        return " ".join(map(str, generator.integers(len(SPECIALS), SHAPES[shape]["vocab_size"], count)))

    lengths = generator.integers(24, 79, examples)
    replies = [round(0.34 * length) for length in lengths.tolist()]
    # Prompt and reply have a mark each.
    return tuple(
        Example((Turn("customer", words(length - reply - 1)),), words(reply - 1))
        for length, reply in zip(lengths.tolist(), replies, strict=True)
    )


def settings(steps: int, batch_size: int) -> FineTuneSettings:
    """AdamW at a constant rate, gradient norm clipped to 1."""
    return FineTuneSettings(steps=steps, batch_size=batch_size, learning_rate=1e-4)


def run_arguments() -> argparse.ArgumentParser:
    """The arguments of a whole run of a federation."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", required=True)
    parser.add_argument("--shape", choices=sorted(SHAPES), required=True)
    for name in ("shops", "steps", "rounds", "batch-size"):
        parser.add_argument(f"--{name}", type=int, required=True)
    return parser
