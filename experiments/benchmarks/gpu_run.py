"""A whole run on a card: shops on Ray, a simulated cloud, replies, fine-tuning, aggregation.

    python -m experiments.benchmarks.gpu_run --json FILE
    python -m experiments.benchmarks.gpu_run --dry-run

`ecc-fed run arm=aggregated runtime=rtx3090` over a base of ChatGLM3-6B's layers (fewer of them, so that the base is
soon written) in NF4 with random weights, whose texts say nothing. Tells what `run.json` has of it: seconds of the whole
run and of its parts, client-steps a second, the most of the card's memory that was used, and how passes were sized. The
dry run takes a small base on the CPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, GlmConfig, GlmForCausalLM

from ecc_fed.assembly.build import EMBEDDED
from experiments.benchmarks.gpu import ATTENTION, CHATGLM3_6B, DRY_RUN
from experiments.benchmarks.load import options, print_table, write_figures

ROOT = Path(__file__).parents[2]
COLUMNS = ("wall_seconds", "client_steps", "client_steps_per_second", "shops_per_batch", "pass_tokens", "peak_gpu_gib")


def save_base(folder: Path, shape: dict[str, Any], layers: int, device: str) -> None:
    """A random model of that shape in bf16, with the embedded model's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    shape = {**shape, "vocab_size": len(tokenizer), "num_hidden_layers": layers}
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = GlmConfig(**shape, **ids, attention_bias=True, max_position_embeddings=8192)
    torch.manual_seed(0)
    with torch.device(device):
        model: Any = GlmForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def overrides(base: Path, shops: int, dry_run: bool) -> list[str]:
    """Of `ecc-fed run`."""
    steps, rounds, pairs = (2, 1, 10) if dry_run else (8, 2, 24)
    return [
        "arm=aggregated",
        "runtime=cpu" if dry_run else "runtime=rtx3090",
        "runtime.hosts=1",
        f"end_model.path={base}",
        "end_model.quantization=nf4",
        f"adapter.target_modules=[{','.join(ATTENTION)}]",
        f"corpus.num_shops={shops}",
        f"corpus.pairs_per_shop={pairs}",
        "corpus.test_pairs_per_shop=3",
        f"evolution.server_rounds={rounds}",
        f"finetune.steps={steps}",
        "finetune.batch_size=1",
        f"decoding.max_new_tokens={4 if dry_run else 32}",
    ]


def run(given: Sequence[str], folder: Path) -> dict[str, Any]:
    """What `run.json` has of the run, with shares of its time by service."""
    command = [sys.executable, "-m", "ecc_fed.cli.main", "run", *given, f"hydra.run.dir={folder}"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, capture_output=True
    )
    if done.returncode:
        raise SystemExit(f"the run ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    found = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    if found["failures"]:
        raise SystemExit(f"the run had failures: {found['failures'][:3]}")
    runtime: dict[str, Any] = found["runtime"]
    return {**runtime, "shops": found["shops"], "peak_gpu_gib": runtime["peak_gpu_bytes"] / 2**30}


def main(arguments: list[str] | None = None) -> None:
    """Runs, prints the row, writes it."""
    parser = options(__doc__, shapes=())
    parser.add_argument("--dry-run", action="store_true", help="a small base, two shops, the CPU")
    parser.add_argument("--shops", type=int, default=64)
    parser.add_argument("--layers", type=int, default=8, help="of ChatGLM3-6B's 28")
    chosen = parser.parse_args(arguments)
    dry_run = chosen.dry_run or chosen.quick
    if not dry_run and not torch.cuda.is_available():
        parser.exit(2, "torch sees no GPU here: --dry-run takes the CPU\n")
    shape, layers, shops = (DRY_RUN, 2, 2) if dry_run else (CHATGLM3_6B, chosen.layers, chosen.shops)
    with tempfile.TemporaryDirectory() as folder:
        save_base(Path(folder) / "base", shape, layers, "cpu" if dry_run else "cuda")
        found = run(overrides(Path(folder) / "base", shops, dry_run), Path(folder) / "run")
    card = "CPU" if dry_run else torch.cuda.get_device_name(0)
    print(f"{card}: {shops} shops, {layers} layers")
    print_table(["shops", *COLUMNS], [[shops, *(found[name] for name in COLUMNS)]])
    print("seconds by service: " + ", ".join(f"{name} {taken:.1f}" for name, taken in found["service_seconds"].items()))
    print(found["batch_reason"])
    write_figures(chosen.json, {"card": card, "layers": layers, **found})


if __name__ == "__main__":
    main()
