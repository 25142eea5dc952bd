"""One card, many shops: greedy replies over one base of ChatGLM3-6B's shape in NF4, by the number of shops.

    python -m experiments.benchmarks.gpu_replies --json FILE
    python -m experiments.benchmarks.gpu_replies --device cpu --dry-run

The weights are random, prompts as long as the E-commerce Dialogue Corpus has them, and every shop has an adapter of its
own (rank 8 on q, k and v). The card is held to 24 GiB. Prints new tokens a wall second of transformers' `generate`, one
prompt at a time on the bare base, and for every number of shops: of a whole call (prompts read, the base dequantized,
steps captured), once step by step as they come, and once or at every step dequantized; of its token steps alone; and
peak memory. Writes a row for each to FILE. The median of repeats counts. The dry run needs no GPU.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from ecc_fed.core.errors import EccError
from ecc_fed.core.records import Decoding
from ecc_fed.end_model.engines.replies import Drawn, EndMarks
from ecc_fed.end_model.engines.sampling import Row, make_rows
from ecc_fed.end_model.engines.shared.active_adapters import ActiveAdapters
from ecc_fed.end_model.engines.shared.bank import AdapterLayout
from ecc_fed.end_model.engines.shared.generation import generate_batch
from ecc_fed.end_model.engines.shared.packed_base import PackedBase
from ecc_fed.end_model.engines.shared.reply_batches import captured_replies
from ecc_fed.end_model.engines.shared.reply_plan import ReplyPlan, plan_replies, plan_within
from ecc_fed.end_model.engines.shared.taking_apart import take_apart
from ecc_fed.hosts.caps import limit_gpu
from ecc_fed.hosts.memory import GIB, is_out_of_memory
from ecc_fed.hosts.meters import GpuMeter, HostMeter, Meter
from ecc_fed.models.device import choose_device
from experiments.benchmarks.adapter_ways import median_seconds
from experiments.benchmarks.gpu import (
    ATTENTION,
    CHATGLM3_6B,
    DRY_RUN,
    ecd_examples,
    new_bank,
    random_base,
)
from experiments.benchmarks.load import options, print_table, write_figures
from experiments.benchmarks.shops import RANK

SHOPS = (1, 8, 64, 192)
# Every row draws as many tokens as it may.
NEVER = EndMarks(frozenset())
WAYS = ("step by step", "captured, dequantized at every step", "captured, dequantized once a call")


def shop_rows(shops: int, new_tokens: int, vocabulary: int) -> list[Row]:
    """One greedy row for each shop."""
    prompts = [own[0].ids[: own[0].prompt_length] for own in ecd_examples(shops, 1, vocabulary)]
    return make_rows(prompts, Decoding(new_tokens, sample=False), 0)


def generate_rate(model: Any, rows: Sequence[Row], device: torch.device, repeats: int) -> float:
    """New tokens a second of transformers' own generation, one prompt at a time."""
    new_tokens = rows[0].decoding.max_new_tokens

    @torch.inference_mode()
    def work() -> None:
        for row in rows:
            ids = torch.tensor([row.prompt], device=device)
            # The end mark's probability is nothing to rely on, so as many tokens are drawn as there may be.
            model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                min_new_tokens=new_tokens,
                max_new_tokens=new_tokens,
                pad_token_id=0,
            )

    return len(rows) * new_tokens / median_seconds(work, device, repeats)


def measure(base: PackedBase, rows: Sequence[Row], plan: ReplyPlan, meter: Meter, chosen: Any) -> list[dict[str, Any]]:
    """A row for each way to serve these shops."""
    count, room = len(rows), max(row.total_tokens for row in rows)
    bank = new_bank(base, AdapterLayout(base, RANK, ATTENTION), count)
    adapters, every = ActiveAdapters(bank.layout, bank.flat, bank.scale), range(count)
    tokens = sum(row.decoding.max_new_tokens for row in rows)
    found: list[dict[str, Any]] = []
    first: list[Drawn] = []
    for way, dense in zip(WAYS, (None, False, True), strict=True):
        row: dict[str, Any] = {"shops": count, "way": way, "chosen": dense == plan.dense}

        def call(dense: bool | None = dense) -> list[Drawn]:
            if dense is None:
                return generate_batch(base, adapters, rows, every, NEVER)
            served = captured_replies(base, replace(plan, dense=dense), adapters, count, room, chosen.batch_tokens)
            return served.generate(rows, every, NEVER)

        try:
            row["peak_gib"] = meter.peak_bytes(call) / GIB
            drawn = call()
            row["tokens_per_second"] = tokens / median_seconds(call, base.device, chosen.repeats)
            if dense is not None:
                served = captured_replies(base, replace(plan, dense=dense), adapters, count, room, chosen.batch_tokens)
                served.generate(rows, every, NEVER)
                step = partial(served.step, count, room)
                row["step_tokens_per_second"] = count / median_seconds(step, base.device, chosen.repeats)
                del served
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            found.append({**row, "fits": False, "reason": str(error).splitlines()[0]})
            continue
        first = first or drawn
        # Random weights leave the likeliest tokens close together, so that rounding decides between them.
        row["equal_to_the_first"] = sum(one.ids == other.ids for one, other in zip(first, drawn, strict=True))
        found.append({**row, "fits": True})
    return found


def run(chosen: Any) -> tuple[list[dict[str, Any]], str]:
    """All rows, and what they were measured on."""
    device = choose_device(chosen.device, "end model")
    meter: Meter = HostMeter(None, 1) if device.type == "cpu" else GpuMeter(limit_gpu(chosen.memory_gib))
    shape, counts, new_tokens = (
        (DRY_RUN, [1, 3], 4) if chosen.dry_run else (CHATGLM3_6B, sorted(set(chosen.shops)), chosen.new_tokens)
    )
    rows = shop_rows(max(counts), new_tokens, shape["vocab_size"])
    model = random_base(shape, device)
    alone = generate_rate(model, rows[:3], device, chosen.repeats)
    base = take_apart(model, device)
    del model
    gc.collect()
    longest = max(row.total_tokens for row in rows)
    plan = plan_replies(base, longest, chosen.batch_tokens) or plan_within(base, longest, chosen.batch_tokens, GIB)
    where = torch.cuda.get_device_name(0) if device.type == "cuda" else "CPU"
    said = (
        f"{where}: transformers' generate on the bare base, one prompt at a time, {alone:.3g} tokens/s; {plan.reason}"
    )
    print(said)
    found = [{"shops": 1, "way": "generate", "fits": True, "tokens_per_second": alone}]
    for count in counts:
        found += measure(base, rows[:count], plan, meter, chosen)
    for row in found:
        row["ratio_to_generate"] = row["tokens_per_second"] / alone if row["fits"] else None
    return found, said


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints the table, writes the rows."""
    parser = options(__doc__, shapes=())
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--dry-run", action="store_true", help="a small shape and a few shops, to see that it runs")
    parser.add_argument("--memory-gib", type=float, default=24.0, help="hard cap on the GPU's memory")
    parser.add_argument("--shops", type=int, nargs="+", default=list(SHOPS))
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--batch-tokens", type=int, default=4096, help="tokens of prompts that are read in one pass")
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args(arguments)
    chosen.dry_run |= chosen.quick
    try:
        rows, said = run(chosen)
    except EccError as error:
        parser.exit(2, f"{error}\n")
    columns = ("tokens_per_second", "ratio_to_generate", "step_tokens_per_second", "peak_gib", "equal_to_the_first")
    print_table(
        ["shops", "way", "tokens/s", "to generate", "steps alone", "peak GiB", "equal replies"],
        [[row["shops"], row["way"], *(row.get(name, "-") for name in columns)] for row in rows if row["fits"]],
    )
    for row in rows:
        if not row["fits"]:
            print(f"{row['shops']} shops, {row['way']}: {row['reason']}")
    write_figures(chosen.json, {"measured_on": said, "rows": rows})


if __name__ == "__main__":
    main()
