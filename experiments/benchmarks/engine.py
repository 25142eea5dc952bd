"""Client-steps a second and core: the shared engine against a plain peft and torch loop.

    python experiments/benchmarks/engine.py --shape tiny

A client-step is one optimizer step of one shop (rank 8, all linear layers, batch of 8). Both train the same examples in
the same order on one thread. Prints a JSON line: client-steps per CPU second, and each engine's ratio to the peft loop.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import torch
from load import (
    CPU,
    SHAPES,
    best_seconds,
    job,
    packed,
    peft_model,
    random_examples,
    random_model,
    settings,
    shop_jobs,
    training_bank,
)

from ecc_fed.end_model.cohort_training import train_cohort
from ecc_fed.end_model.finetune import train


def measure(shape: str, shops: int, steps: int, repeats: int, batch_size: int, batch_tokens: int) -> dict[str, object]:
    """Steps per CPU second of every engine."""
    torch.set_num_threads(1)
    model = random_model(shape)
    examples = random_examples(shape, shops)
    chosen = settings(steps, batch_size)
    wrapped, parameters = peft_model(model)
    works: dict[str, Callable[[], object]] = {}
    client_steps: dict[str, int] = {}

    def add_cohort(name: str, count: int, bf16_products: bool) -> None:
        base = packed(model, bf16_products)
        works[name] = lambda: train_cohort(
            base, training_bank(base, count), shop_jobs(examples[:count], chosen), 0.0, batch_tokens
        )
        client_steps[name] = count * steps

    works["peft"] = lambda: train(wrapped, parameters, examples[0], job(examples[0], chosen, 0), CPU)
    client_steps["peft"] = steps
    add_cohort("cohort_1_fp32", 1, False)
    add_cohort(f"cohort_{shops}_fp32", shops, False)
    add_cohort(f"cohort_{shops}_bf16", shops, True)
    best = best_seconds(works, repeats)
    rates = {name: client_steps[name] / seconds for name, seconds in best.items()}
    return {
        "benchmark": "engine",
        "shape": shape,
        "shops": shops,
        "batch_size": batch_size,
        "client_steps_per_cpu_second": {name: round(rate, 2) for name, rate in rates.items()},
        "ratio_to_peft": {name: round(rate / rates["peft"], 2) for name, rate in rates.items()},
    }


def main() -> None:
    """Reads the arguments and prints the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="tiny")
    parser.add_argument("--shops", type=int, default=8)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    chosen = parser.parse_args()
    print(
        json.dumps(
            measure(chosen.shape, chosen.shops, chosen.steps, chosen.repeats, chosen.batch_size, chosen.batch_tokens)
        )
    )


if __name__ == "__main__":
    main()
