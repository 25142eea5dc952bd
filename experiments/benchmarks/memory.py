"""Memory against the number of shops: one shared base, or a peft process a shop.

    python -m experiments.benchmarks.memory --json FILE

Each side loads the same base from disk and trains a few steps of every shop (LoRA of rank 8 on all linear layers).
Counted is the proportional set size of all processes together at its highest: pages that processes share count once.
Where this machine has no room for so many processes, theirs is the straight line through the last two numbers, marked
with a tilde. Prints a row a number of shops and writes {shape: {"ratio_16": x}} to FILE, x times less
memory for 16 shops on the shared base than in 16 processes.
"""

from __future__ import annotations

import argparse
import select
import subprocess
import sys
import tempfile
from pathlib import Path

from ecc_fed.hosts.memory import free_host_bytes
from experiments.benchmarks.load import (
    CPU,
    job,
    lora_config,
    options,
    print_table,
    random_examples,
    save_base,
    shop_jobs,
    training_bank,
    write_figures,
)
from experiments.benchmarks.shops import settings

MIB = 2**20
COUNTS = (1, 2, 4, 8, 16)
_SAMPLE_SECONDS = 0.02
_STEPS = 3


def train_side(side: str, base: str, shape: str, shops: int, batch_size: int) -> None:
    """Trains in this process: all shops on the shared engine, or the first one by peft."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    chosen = settings(_STEPS, batch_size)
    examples = random_examples(shape, shops)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval().requires_grad_(False)
    if side == "peft":
        from peft import get_peft_model

        from ecc_fed.end_model.engines.reference.training import train

        wrapped = get_peft_model(model, lora_config())  # in place: a copy would count the base twice
        parameters = {name: p for name, p in wrapped.named_parameters() if p.requires_grad}
        train(wrapped, parameters, examples[0], job(examples[0], chosen, 0), CPU)
    else:
        from ecc_fed.end_model.engines.shared.taking_apart import take_apart
        from ecc_fed.end_model.engines.shared.training import train_batch

        packed = take_apart(model, CPU)
        del model
        train_batch(packed, training_bank(packed, shops), shop_jobs(examples, chosen), 0.0, 4096)
    print("trained", flush=True)
    sys.stdin.read()  # stays as it is until the parent has seen enough


def proportional_bytes(process_id: int) -> int:
    """Proportional set size of a process (Linux)."""
    lines = Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def peak_bytes(side: str, processes: int, base: str, shape: str, shops: int, batch_size: int) -> int:
    """The most that `processes` processes of a side hold together, from their start until all have trained."""
    command = [sys.executable, "-m", "experiments.benchmarks.memory", "--side", side, "--base", base]
    command += ["--shops", str(shops), "--batch-size", str(batch_size), "--shapes", shape]
    root = Path(__file__).parents[2]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=root)
        for _ in range(processes)
    ]
    try:
        peak, training = 0, {child.stdout: child for child in children}
        while training:
            for output in select.select(list(training), [], [], _SAMPLE_SECONDS)[0]:
                child = training.pop(output)
                if output.readline().strip() != b"trained":
                    raise SystemExit(f"a process failed, most often for lack of memory: {' '.join(command)}")
            peak = max(peak, sum(proportional_bytes(child.pid) for child in children))
        return peak
    finally:
        for child in children:
            child.kill()
            child.communicate()


def measure(shape: str, counts: list[int], batch_size: int) -> list[tuple[int, float, float, bool]]:
    """For every number of shops: bytes of the shared base, bytes of processes, and whether the latter is a line."""
    rows: list[tuple[int, float, float, bool]] = []
    with tempfile.TemporaryDirectory(prefix="ecc_fed-benchmark-") as base:
        save_base(shape, Path(base))
        for count in counts:
            shared = peak_bytes("together", 1, base, shape, count, batch_size)
            if len(rows) >= 2 and rows[-1][2] / rows[-1][0] * count > 0.8 * free_host_bytes():
                (few, _, less, _), (more, _, last, _) = rows[-2:]
                rows.append((count, shared, last + (last - less) / (more - few) * (count - more), True))
            else:
                rows.append((count, shared, peak_bytes("peft", count, base, shape, count, batch_size), False))
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints the table, writes the ratios."""
    parser = options(__doc__)
    parser.add_argument("--batch-size", type=int, default=1)
    for name in ("--side", "--base", "--shops"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.side:
        train_side(chosen.side, chosen.base, chosen.shapes[0], int(chosen.shops), chosen.batch_size)
        return
    counts = [1, 2] if chosen.quick else list(COUNTS)
    table, figures = [], {}
    for shape in chosen.shapes:
        measured = measure(shape, counts, chosen.batch_size)
        for count, shared, apart, line in measured:
            mark = "~" if line else ""
            table.append(
                [shape, count, f"{shared / MIB:.0f}", f"{mark}{apart / MIB:.0f}", f"{mark}{apart / shared:.2f}"]
            )
        count, shared, apart, _ = measured[-1]
        figures[shape] = {f"ratio_{count}": round(apart / shared, 3)}
    print_table(["shape", "shops", "shared base, MiB", "processes, MiB", "ratio"], table)
    write_figures(chosen.json, figures)


if __name__ == "__main__":
    main()
