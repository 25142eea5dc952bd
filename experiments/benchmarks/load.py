"""What the engine's benchmarks share: bases of a known shape with random weights, a customer service's lengths, clocks.

Random weights are a fair load: shapes and lengths decide speed, not values.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from peft import get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from ecc_fed.core.records import FineTuneJob, FineTuneSettings
from ecc_fed.end_model.adapters import LoraSettings
from ecc_fed.end_model.cohort_bank import AdapterLayout
from ecc_fed.end_model.cohort_base import PackedBase, take_apart
from ecc_fed.end_model.cohort_training import ShopJob, TrainingBank
from ecc_fed.end_model.finetune import EncodedExample

CPU = torch.device("cpu")
LORA = LoraSettings(rank=8, lora_alpha=32.0, lora_dropout=0.0)
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
    "medium": {
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
    },
}


def random_model(shape: str) -> Any:
    """A frozen Llama of this shape, the same in every process."""
    torch.manual_seed(0)
    config = LlamaConfig(**SHAPES[shape], tie_word_embeddings=True, max_position_embeddings=512)
    return LlamaForCausalLM(config).eval().requires_grad_(False)


def random_examples(shape: str, shops: int, examples: int = 32) -> list[list[EncodedExample]]:
    """Every shop's examples: 24 to 78 tokens, 51 in the mean, 34% of them labels."""
    generator = np.random.default_rng(0)
    made = []
    for _ in range(shops):
        lengths = generator.integers(24, 79, examples)
        made.append(
            [
                EncodedExample(
                    generator.integers(3, SHAPES[shape]["vocab_size"], length).tolist(), length - round(0.34 * length)
                )
                for length in lengths.tolist()
            ]
        )
    return made


def peft_model(model: Any) -> tuple[Any, dict[str, torch.nn.Parameter]]:
    """peft around a copy of the model, and its trainable tensors."""
    wrapped = get_peft_model(copy.deepcopy(model), LORA.peft_config())
    return wrapped, {name: p for name, p in wrapped.named_parameters() if p.requires_grad}


def packed(model: Any, bf16_products: bool = False) -> PackedBase:
    """The same weights taken apart."""
    return take_apart(copy.deepcopy(model), CPU, torch.bfloat16 if bf16_products else None)


def training_bank(base: PackedBase, shops: int) -> TrainingBank:
    """Small random adapters."""
    layout = AdapterLayout(base, LORA.rank, "all-linear")
    flat = torch.randn(shops, layout.size, generator=torch.Generator().manual_seed(0)) * 0.02
    zeros = torch.zeros_like(flat)
    return TrainingBank(layout, flat, zeros, zeros.clone(), torch.full((shops,), LORA.scale))


def settings(steps: int, batch_size: int) -> FineTuneSettings:
    """The embedded default's optimizer."""
    return FineTuneSettings(steps=steps, batch_size=batch_size, learning_rate=1e-4)


def job(examples: list[EncodedExample], chosen: FineTuneSettings, seed: int) -> FineTuneJob:
    """A job whose examples are already encoded: only their number is read from it."""
    placeholders: Any = tuple(examples)
    return FineTuneJob({}, None, placeholders, chosen, seed)


def shop_jobs(examples: list[list[EncodedExample]], chosen: FineTuneSettings) -> list[ShopJob]:
    """One job a shop for the shared engine."""
    return [ShopJob(job(own, chosen, seed), own, 0, LORA.rank) for seed, own in enumerate(examples)]


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time, which other processes' load moves less than wall time."""
    start = time.process_time()
    work()
    return time.process_time() - start


def timed(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """CPU seconds of every repeat of each; their turns alternate, so that a busy spell hits all alike."""
    for work in works.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            seconds[name].append(cpu_seconds(work))
    return seconds


def rates_and_ratios(
    seconds: dict[str, list[float]], units: dict[str, float], against: str
) -> tuple[dict[str, float], dict[str, float]]:
    """Units per CPU second (median over repeats), and the median over repeats of each one's ratio to `against`."""
    rates = {name: units[name] / median(values) for name, values in seconds.items()}
    ratios = {}
    for name, values in seconds.items():
        pairs = zip(seconds[against], values, strict=True)
        ratios[name] = median(base / own for base, own in pairs) * units[name] / units[against]
    return {name: round(rate, 2) for name, rate in rates.items()}, {name: round(r, 3) for name, r in ratios.items()}
