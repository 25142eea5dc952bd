"""What the engine's benchmarks share: bases of a known shape with random weights, a customer service's lengths, clocks.

Random weights are a fair load: shapes and lengths decide speed, not values.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ecc_fed.core.records import FineTuneJob, FineTuneSettings
from ecc_fed.end_model.engines.shared.bank import AdapterLayout
from ecc_fed.end_model.engines.shared.packed_base import PackedBase
from ecc_fed.end_model.engines.shared.taking_apart import take_apart
from ecc_fed.end_model.engines.shared.training_bank import ShopJob, TrainingBank
from ecc_fed.end_model.training.examples import EncodedExample
from experiments.benchmarks.shops import LORA_ALPHA, RANK, SHAPES, SPECIALS

CPU = torch.device("cpu")
# Of a timed loop; the larger shape takes minutes each.
REPEATS = {"tiny": 5, "m135": 2}


def random_model(shape: str) -> Any:
    """A frozen Llama of this shape, the same in every process."""
    torch.manual_seed(0)
    config = LlamaConfig(**SHAPES[shape], tie_word_embeddings=True, max_position_embeddings=512)
    return LlamaForCausalLM(config).eval().requires_grad_(False)


def save_base(shape: str, folder: Path) -> None:
    """The model as published bases are, in bf16, with a tokenizer whose words are numbers."""
    random_model(shape).to(torch.bfloat16).save_pretrained(folder)
    words = [*SPECIALS, *map(str, range(len(SPECIALS), SHAPES[shape]["vocab_size"]))]
    backend = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token=SPECIALS[1]))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token=SPECIALS[0], unk_token=SPECIALS[1], eos_token=SPECIALS[2]
    )
    tokenizer.chat_template = "{% for m in messages %}" + SPECIALS[3] + " {{ m['content'] }} {% endfor %}"
    tokenizer.save_pretrained(folder)


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
    wrapped = get_peft_model(copy.deepcopy(model), lora_config())
    return wrapped, {name: p for name, p in wrapped.named_parameters() if p.requires_grad}


def lora_config() -> LoraConfig:
    """peft's words for the adapters of all benchmarks."""
    return LoraConfig(r=RANK, lora_alpha=LORA_ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")


def packed(model: Any, bf16_products: bool = False) -> PackedBase:
    """The same weights taken apart."""
    return take_apart(copy.deepcopy(model), CPU, torch.bfloat16 if bf16_products else None)


def training_bank(base: PackedBase, shops: int) -> TrainingBank:
    """Small random adapters."""
    layout = AdapterLayout(base, RANK, "all-linear")
    flat = torch.randn(shops, layout.size, generator=torch.Generator().manual_seed(0)) * 0.02
    zeros = torch.zeros_like(flat)
    return TrainingBank(layout, flat, zeros, zeros.clone(), torch.full((shops,), LORA_ALPHA / RANK))


def job(examples: list[EncodedExample], chosen: FineTuneSettings, seed: int) -> FineTuneJob:
    """A job whose examples are already encoded: only their number is read from it."""
    placeholders: Any = tuple(examples)
    return FineTuneJob({}, None, placeholders, chosen, seed)


def shop_jobs(examples: list[list[EncodedExample]], chosen: FineTuneSettings) -> list[ShopJob]:
    """One job a shop for the shared engine."""
    return [ShopJob(job(own, chosen, seed), own, 0, RANK) for seed, own in enumerate(examples)]


def necessary_flops(base: PackedBase, layout: AdapterLayout, tokens: int, labels: int) -> float:
    """Floating-point operations that a training step cannot do without, attention's scores left out.

    A product of (N, a) and (a, b) takes 2 N a b. The base runs forward and back to its input; below the first layer
    nothing is wanted, above the last attention only label rows are. The adapters' A and B run forward, back to their
    input and to themselves.
    """
    total = 0.0
    for index, (layer, spans) in enumerate(zip(base.layers, layout.spans, strict=True)):
        for number, (stack, span) in enumerate(zip(layer.stacks, spans, strict=True)):
            rows = labels if index == len(base.layers) - 1 and number > 0 else tokens
            passes = 1 if (index, number) == (0, 0) else 2
            total += 2 * rows * stack.d_in * stack.projections[-1].stop * passes
            for start, stop in span.outputs:
                total += 2 * rows * layout.rank * (stack.d_in + stop - start) * (passes + 1)
    return total + 2 * 2 * labels * base.head.weight().numel()


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


def options(description: str | None, shapes: Sequence[str] = ("tiny", "m135")) -> argparse.ArgumentParser:
    """A benchmark's arguments: `--json FILE`, `--quick`, and which shapes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the ratios go")
    parser.add_argument("--quick", action="store_true", help="as little as shows that it works: no figure to quote")
    if shapes:
        parser.add_argument("--shapes", nargs="+", choices=sorted(SHAPES), default=list(shapes), metavar="SHAPE")
    return parser


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as they need to be, the first to the left; fractions with three digits that count."""
    cells = [[f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        print("  ".join([first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(others, widths[1:], strict=True))]))


def write_figures(path: Path | None, figures: object) -> None:
    """The figures as JSON, if a file is wanted."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
