"""How near a training step comes to what the machine's matrix products can do.

    python experiments/benchmarks/peak.py --shape tiny

The peak is measured here, on the base's own largest product. A step's necessary work is counted from the shapes: the
base forward and backward to its input, and the adapters' own products. Prints a JSON line: GFLOP per CPU second of the
peak, of the shared engine and of a plain peft loop, as shares of the peak.
"""

from __future__ import annotations

import argparse
import json

import torch
from load import (
    CPU,
    LORA,
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

from ecc_fed.end_model.cohort_base import PackedBase
from ecc_fed.end_model.cohort_training import train_cohort
from ecc_fed.end_model.finetune import EncodedExample, train


def necessary_flops(base: PackedBase, batch: list[EncodedExample]) -> float:
    """Floating-point operations that a step of one shop cannot do without, attention's scores left out.

    A product of (N, a) and (a, b) takes 2 N a b. The base runs forward and back to its input; below the first layer
    nothing is wanted, above the last attention only label rows are. The adapters' A and B run forward, back to their
    input and to themselves.
    """
    tokens = sum(len(example.ids) for example in batch)
    labels = sum(example.label_tokens for example in batch)
    total = 0.0
    for index, layer in enumerate(base.layers):
        for number, stack in enumerate(layer.stacks):
            rows = labels if index == len(base.layers) - 1 and number > 0 else tokens
            wide = sum(p.stop - p.start for p in stack.projections)
            passes = 1 if (index, number) == (0, 0) else 2
            total += 2 * rows * stack.d_in * wide * passes
            for projection in stack.projections:
                total += 2 * rows * LORA.rank * (stack.d_in + projection.stop - projection.start) * (passes + 1)
    head = base.head.weight()
    return total + 2 * 2 * labels * head.shape[0] * head.shape[1]


def measure(shape: str, shops: int, batch_size: int, repeats: int, bf16_products: bool) -> dict[str, object]:
    """Rates and shares of the peak."""
    torch.set_num_threads(1)
    model = random_model(shape)
    # A batch holds all examples, so that every step is the same work.
    examples = random_examples(shape, shops, batch_size)
    chosen = settings(2, batch_size)
    wrapped, parameters = peft_model(model)
    base = packed(model, bf16_products)
    weight = base.layers[0].mlp_in.matrix.weight()
    rows = sum(len(example.ids) for batch in examples for example in batch)
    x = torch.randn(rows, weight.shape[1]).to(weight.dtype)
    products = 20
    best = best_seconds(
        {
            "peak": lambda: [x @ weight.t() for _ in range(products)],
            "cohort": lambda: train_cohort(base, training_bank(base, shops), shop_jobs(examples, chosen), 0.0, rows),
            "peft": lambda: train(wrapped, parameters, examples[0], job(examples[0], chosen, 0), CPU),
        },
        repeats,
    )
    work = {
        "peak": products * 2.0 * rows * weight.numel(),
        "cohort": 2 * sum(necessary_flops(base, batch) for batch in examples),
        "peft": 2 * necessary_flops(base, examples[0]),
    }
    rates = {name: work[name] / seconds / 1e9 for name, seconds in best.items()}
    return {
        "benchmark": "peak",
        "shape": shape,
        "shops": shops,
        "products": "bf16" if bf16_products else "fp32",
        "gflop_per_cpu_second": {name: round(rate, 1) for name, rate in rates.items()},
        "share_of_peak": {name: round(rate / rates["peak"], 3) for name, rate in rates.items() if name != "peak"},
    }


def main() -> None:
    """Reads the arguments and prints the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="tiny")
    parser.add_argument("--shops", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--bf16-products", action="store_true")
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.shape, chosen.shops, chosen.batch_size, chosen.repeats, chosen.bf16_products)))


if __name__ == "__main__":
    main()
