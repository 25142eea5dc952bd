"""Peak memory of training many shops: one shared base against a peft process a shop.

    python experiments/benchmarks/memory.py --shape tiny --shops 16

Each side runs in a fresh process, because a peak never falls again within one, and counts what its training adds to a
process that has only imported the same libraries. Prints a JSON line: bytes of one peft process, of the shared engine
with all shops, and their ratio for this many shops, with and without the libraries.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys

import torch
from load import CPU, LORA, SHAPES, job, random_examples, random_model, settings, shop_jobs, training_bank

from ecc_fed.end_model.cohort_base import take_apart
from ecc_fed.end_model.cohort_training import train_cohort
from ecc_fed.end_model.finetune import train


def run_side(side: str, shape: str, shops: int, batch_size: int, batch_tokens: int) -> int:
    """Trains two steps and returns this process's peak resident bytes."""
    torch.set_num_threads(1)
    chosen = settings(2, batch_size)
    if side != "libraries":
        examples = random_examples(shape, shops)
        model = random_model(shape)
        if side == "peft":
            # Wrapped in place: a copy would count the base twice.
            from peft import get_peft_model

            wrapped = get_peft_model(model, LORA.peft_config())
            parameters = {name: p for name, p in wrapped.named_parameters() if p.requires_grad}
            train(wrapped, parameters, examples[0], job(examples[0], chosen, 0), CPU)
        else:
            base = take_apart(model, CPU)
            del model
            train_cohort(base, training_bank(base, shops), shop_jobs(examples, chosen), 0.0, batch_tokens)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(shape: str, shops: int, batch_size: int, batch_tokens: int) -> dict[str, object]:
    """Peaks of the three processes and their ratios."""
    peaks = {}
    for side in ("libraries", "peft", "cohort"):
        command = [sys.executable, __file__, "--side", side, "--shape", shape, "--shops", str(shops)]
        command += ["--batch-size", str(batch_size), "--batch-tokens", str(batch_tokens)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peaks[side] = int(output.strip().splitlines()[-1])
    own = {side: peak - peaks["libraries"] for side, peak in peaks.items()}
    return {
        "benchmark": "memory",
        "shape": shape,
        "shops": shops,
        "batch_tokens": batch_tokens,
        "peak_bytes": peaks,
        "ratio_whole_processes": round(shops * peaks["peft"] / peaks["cohort"], 2),
        "ratio_without_libraries": round(shops * own["peft"] / own["cohort"], 2),
    }


def main() -> None:
    """Reads the arguments and prints the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="tiny")
    parser.add_argument("--shops", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--side", choices=["libraries", "peft", "cohort"], help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    arguments = (chosen.shape, chosen.shops, chosen.batch_size, chosen.batch_tokens)
    print(run_side(chosen.side, *arguments) if chosen.side else json.dumps(measure(*arguments)))


if __name__ == "__main__":
    main()
