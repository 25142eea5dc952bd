"""Replies a second and core: the shared engine against transformers' generate on peft, one shop after another.

    python experiments/benchmarks/generation.py --shape tiny

Greedy, one prompt a shop, every shop its own adapter, all on one thread. Prints a JSON line: replies per CPU second,
each cohort's ratio to the peft loop, and the share of replies that are token for token the same.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import numpy as np
import torch
from load import LORA, SHAPES, best_seconds, packed, peft_model, random_model, training_bank

from ecc_fed.core.records import Decoding
from ecc_fed.end_model.cohort_generation import generate_cohort
from ecc_fed.end_model.cohort_layers import ActiveAdapters
from ecc_fed.end_model.sampling import make_rows

END = frozenset({2})


def measure(shape: str, cohorts: list[int], new_tokens: int, repeats: int) -> dict[str, object]:
    """Replies per CPU second of the peft loop and of every cohort size."""
    torch.set_num_threads(1)
    model = random_model(shape)
    wrapped, parameters = peft_model(model)
    wrapped.eval()
    shops = max(cohorts)
    base = packed(model)
    bank = training_bank(base, shops)
    states = [bank.layout.read(row, LORA.rank) for row in bank.flat.numpy()]
    generator = np.random.default_rng(1)
    prompts = [
        generator.integers(3, SHAPES[shape]["vocab_size"], int(generator.integers(17, 51))).tolist()
        for _ in range(shops)
    ]
    rows = make_rows(prompts, Decoding(max_new_tokens=new_tokens, sample=False), 0)
    expected: dict[int, list[int]] = {}

    @torch.inference_mode()
    def one_by_one(count: int) -> None:
        for shop in range(count):
            for name, parameter in parameters.items():
                parameter.copy_(torch.from_numpy(states[shop][name.replace(".default.", ".")]))
            ids = torch.tensor([prompts[shop]])
            output = wrapped.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=new_tokens,
                eos_token_id=2,
                pad_token_id=0,
            )
            expected[shop] = [token for token in output[0, ids.shape[1] :].tolist() if token not in END]

    def together(count: int) -> list[list[int]]:
        adapters = ActiveAdapters(bank.layout, bank.flat[:count], bank.scale[:count])
        return generate_cohort(base, adapters, rows[:count], range(count), END)

    one_by_one(shops)
    found = together(shops)
    equal = sum(reply == expected[shop] for shop, reply in enumerate(found)) / shops
    sample = min(4, shops)
    works: dict[str, Callable[[], object]] = {"peft": lambda: one_by_one(sample)}
    counts = {"peft": sample}
    for count in cohorts:
        works[f"cohort_{count}"] = lambda count=count: together(count)  # type: ignore[misc]
        counts[f"cohort_{count}"] = count
    best = best_seconds(works, repeats)
    rates = {name: counts[name] / seconds for name, seconds in best.items()}
    return {
        "benchmark": "generation",
        "shape": shape,
        "new_tokens": new_tokens,
        "replies_per_cpu_second": {name: round(rate, 2) for name, rate in rates.items()},
        "ratio_to_peft": {name: round(rate / rates["peft"], 2) for name, rate in rates.items()},
        "identical_share": equal,
    }


def main() -> None:
    """Reads the arguments and prints the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="tiny")
    parser.add_argument("--cohorts", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.shape, chosen.cohorts, chosen.new_tokens, chosen.repeats)))


if __name__ == "__main__":
    main()
