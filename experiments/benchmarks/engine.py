"""Client-steps a second: the shared engine against a plain peft loop, and against Flower's own simulation.

    python -m experiments.benchmarks.engine --json FILE

A client-step is one optimizer step of one shop (LoRA of rank 8 on all linear layers, one example of 51 tokens in the
mean, as in the paper's batches of one). Two comparisons, each with the base's products in fp32 and in bf16:

- with a plain peft and torch loop, in CPU seconds of one thread: the engine alone;
- with the stock simulation, in wall seconds of the whole program, its start included (see `stock_flower.py`): 16 shops,
  20 steps a round, the same shops, examples and cores.

Prints one table and writes {shape: {"stock_flower_ratio_fp32", "stock_flower_ratio_bf16", "peft_loop_ratio_fp32",
"peft_loop_ratio_bf16"}} to FILE.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from ecc_fed.end_model.engines.reference.training import train
from ecc_fed.end_model.engines.shared.packed_base import PackedBase
from ecc_fed.end_model.engines.shared.training import train_batch
from experiments.benchmarks.load import (
    CPU,
    REPEATS,
    job,
    options,
    packed,
    peft_model,
    print_table,
    random_examples,
    random_model,
    rates_and_ratios,
    save_base,
    shop_jobs,
    timed,
    training_bank,
    write_figures,
)
from experiments.benchmarks.shops import settings

# Of a whole run; the larger shape has seconds of work a round, so two of them outweigh the start.
ROUNDS = {"tiny": 5, "m135": 2}
_SIDES = {"stock": "stock_flower", "fp32": "our_flower", "bf16": "our_flower"}


def loops(shape: str, shops: int, steps: int, repeats: int, batch_size: int) -> tuple[dict[str, float], ...]:
    """Client-steps per CPU second of the peft loop and of the engine, and the engine's ratios to it."""
    torch.set_num_threads(1)
    model = random_model(shape)
    examples = random_examples(shape, shops)
    chosen = settings(steps, batch_size)
    wrapped, parameters = peft_model(model)

    def together(base: PackedBase, count: int) -> None:
        train_batch(base, training_bank(base, count), shop_jobs(examples[:count], chosen), 0.0, 4096)

    def one_by_one() -> None:
        for seed, own in enumerate(examples):
            train(wrapped, parameters, own, job(own, chosen, seed), CPU)

    works: dict[str, Callable[[], object]] = {"peft loop": one_by_one}
    client_steps = {"peft loop": float(shops * steps)}
    for name, base, count in (
        ("engine, 1 shop, fp32", packed(model), 1),
        (f"engine, {shops} shops, fp32", packed(model), shops),
        (f"engine, {shops} shops, bf16", packed(model, bf16_products=True), shops),
    ):
        works[name] = partial(together, base, count)
        client_steps[name] = float(count * steps)
    return rates_and_ratios(timed(works, repeats), client_steps, "peft loop")


def whole_runs(shape: str, shops: int, steps: int, rounds: int, batch_size: int) -> dict[str, float]:
    """Wall seconds of each side's whole program, its start included."""
    seconds, tokens = {}, {}
    with tempfile.TemporaryDirectory(prefix="ecc_fed-benchmark-") as folder:
        save_base(shape, Path(folder))
        for side, module in _SIDES.items():
            command = [sys.executable, "-m", f"experiments.benchmarks.{module}", "--base", folder, "--shape", shape]
            command += ["--shops", str(shops), "--steps", str(steps), "--rounds", str(rounds)]
            command += ["--batch-size", str(batch_size), *(["--products", side] if side != "stock" else [])]
            started = time.perf_counter()
            done = subprocess.run(
                command, capture_output=True, text=True, cwd=Path(__file__).parents[2], env=_environment(folder)
            )
            seconds[side] = time.perf_counter() - started
            if done.returncode:
                raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
            tokens[side] = json.loads(done.stdout.strip().splitlines()[-1])["label_tokens"]
    if len(set(tokens.values())) > 1:
        raise SystemExit(f"the sides did not train on the same tokens: {tokens}")
    return seconds


def _environment(folder: str) -> dict[str, str]:
    """Nothing leaves the machine, and every process computes with one thread."""
    return os.environ | {
        "FLWR_HOME": folder,
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints the table, writes the ratios."""
    parser = options(__doc__)
    parser.add_argument("--shops", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, help=f"of a whole run; default {ROUNDS}")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--repeats", type=int, help=f"of the loops; default {REPEATS}")
    chosen = parser.parse_args(arguments)
    shops, steps = (4, 2) if chosen.quick else (chosen.shops, chosen.steps)
    rows: list[list[object]] = []
    figures = {}
    for shape in chosen.shapes:
        rounds = 1 if chosen.quick else chosen.rounds or ROUNDS[shape]
        # A few steps are enough for a rate.
        repeats = 1 if chosen.quick else chosen.repeats or REPEATS[shape]
        rates, ratios = loops(shape, shops, min(steps, 4), repeats, chosen.batch_size)
        rows += [[shape, name, "CPU", rate, ratios[name]] for name, rate in rates.items()]
        seconds = whole_runs(shape, shops, steps, rounds, chosen.batch_size)
        for side, name in (("stock", "Flower's simulation"), ("fp32", "ours, fp32"), ("bf16", "ours, bf16")):
            rate = shops * steps * rounds / seconds[side]
            rows.append([shape, f"{name}, {rounds} rounds", "wall", rate, seconds["stock"] / seconds[side]])
        figures[shape] = {
            **{f"stock_flower_ratio_{kind}": round(seconds["stock"] / seconds[kind], 3) for kind in ("fp32", "bf16")},
            **{f"peft_loop_ratio_{kind}": ratios[f"engine, {shops} shops, {kind}"] for kind in ("fp32", "bf16")},
        }
    print_table(["shape", f"{shops} shops, {steps} steps", "clock", "client-steps/s", "ratio"], rows)
    write_figures(chosen.json, figures)


if __name__ == "__main__":
    main()
