"""What training in bf16 costs: twenty steps on the embedded model against peft in fp32.

    python -m experiments.benchmarks.narrow_training
    python -m experiments.benchmarks.narrow_training --device cuda --json FILE

Rows are ways to compute, columns the optimizer's epsilon: AdamW's own, by which it makes a whole step of the smallest
gradient, and one so large that steps are in proportion to the gradient. A cell is ||update - peft's|| / ||peft's|| over
all adapter matrices; below stands, for the GPU's way in bf16, what single steps' losses are off. On a CPU that way goes
by its plain forms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ecc_fed.assembly.build import EMBEDDED
from ecc_fed.core.records import AdapterState, Example, FineTuneJob, FineTuneResult, FineTuneSettings, Turn
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.base import Base, load_base
from ecc_fed.end_model.engines.reference.engine import PeftEngine
from ecc_fed.end_model.engines.shared.compute_plan import GPU_PLAIN
from ecc_fed.end_model.engines.shared.engine import SharedEngine
from experiments.benchmarks.load import options, print_table, write_figures

PAIRS = (
    ("你好请问这个什么时候发货", "亲，今天下午发货哦"),
    ("我的包裹到哪里了", "已经到上海了，明天派送"),
    ("可以退货吗", "七天内可以退货"),
    ("这件衣服有没有大码", "有的，最大到四码"),
    ("请问有优惠券吗", "满一百减十元"),
    ("怎么开发票", "下单时填写抬头就可以"),
)
EXAMPLES = tuple(Example((Turn("customer", query),), reply) for query, reply in PAIRS)
# Epsilon, and a rate that takes the loss as far.
OPTIMIZERS = {"AdamW, epsilon 1e-8": (1e-8, 2e-3), "1e-4": (1e-4, 2e-3), "1: as the gradient": (1.0, 0.5)}
GPU_WAY = "the GPU's way in bf16"


def rounded(base: Base) -> Base:
    """The base with its layers' weights rounded to bf16 and kept in fp32."""
    for module in base.model.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data = module.weight.data.bfloat16().float()
    return base


def of_update(expected: AdapterState, found: AdapterState, start: AdapterState) -> float:
    """The distance of two adapters over that which the first has gone."""
    off = sum(float(((expected[name] - found[name]) ** 2).sum()) for name in start)
    gone = sum(float(((expected[name] - start[name]) ** 2).sum()) for name in start)
    return float((off / gone) ** 0.5)


def engines(device: str) -> tuple[PeftEngine, Mapping[str, PeftEngine | SharedEngine]]:
    """peft in fp32, and what is held against it."""
    settings, path = Lora(8, lora_dropout=0.0), str(EMBEDDED)
    plan = GPU_PLAIN if device == "cpu" else None

    def opened() -> Base:
        return load_base(path, device=device)

    return PeftEngine(opened(), settings), {
        "peft in fp32 over weights rounded to bf16": PeftEngine(rounded(opened()), settings),
        "the GPU's way in fp32": SharedEngine(opened(), settings, plan=plan),
        GPU_WAY: SharedEngine(opened(), settings, base_products="bf16", plan=plan),
    }


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints the table, writes {way: {optimizer: share of the update}}."""
    parser = options(__doc__, shapes=())
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    chosen = parser.parse_args(arguments)
    steps = 2 if chosen.quick else 20
    peft, others = engines(chosen.device)
    found: dict[str, Any] = {name: {} for name in others}
    losses_off: dict[str, float] = {}
    curve: dict[str, list[float]] = {}
    for optimizer, (epsilon, rate) in OPTIMIZERS.items():
        settings = FineTuneSettings(steps=steps, batch_size=2, learning_rate=rate, epsilon=epsilon)
        job = FineTuneJob(peft.new_adapter(0), None, EXAMPLES, settings, 0)
        (expected,) = peft.fine_tune([job])
        for name, engine in others.items():
            result: FineTuneResult = engine.fine_tune([job])[0]
            found[name][optimizer] = of_update(expected.adapter, result.adapter, job.adapter)
            if name == GPU_WAY:
                losses_off[optimizer] = float(np.abs(np.subtract(result.losses, expected.losses)).max())
                if optimizer == next(iter(OPTIMIZERS)):
                    curve = {"peft": list(expected.losses), GPU_WAY: list(result.losses)}
    print_table(
        ["of the update", *OPTIMIZERS],
        [[name, *(f"{each:.2%}" for each in row.values())] for name, row in found.items()],
    )
    print(f"single steps' losses off, {GPU_WAY}: " + ", ".join(f"{off:.3f}" for off in losses_off.values()) + " nats")
    for name, losses in curve.items():
        print(f"losses, {name}: " + " ".join(f"{loss:.2f}" for loss in losses))
    write_figures(chosen.json, {"of_update": found, "losses_off": losses_off, "losses": curve})


if __name__ == "__main__":
    main()
