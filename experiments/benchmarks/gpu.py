"""One card, many shops: fine-tuning over one base of ChatGLM3-6B's shape in NF4, by the number of shops.

    python -m experiments.benchmarks.gpu --json FILE
    python -m experiments.benchmarks.gpu --device cpu --dry-run

The weights are random: shapes and lengths decide speed, not values. Every shop trains an adapter of its own (as in the
paper: rank 8 on q, k and v, dropout 0.1, batches of one) on examples as long as the E-commerce Dialogue Corpus has
them. The card is held to 24 GiB; passes of a step are sized by measured memory, as a run sizes them, and a step takes
as many as its shops need. Prints client-steps a wall second, against one shop at a time over the same engine and over
peft, peak memory, the share of the card's bf16 product peak, where a step's time goes, and three ways to compute the
adapters' products, all on one card in one run. Writes a row for every number of shops to FILE. Needs neither Ray nor
Flower; the dry run needs no GPU, and takes a GPU's way by its plain forms.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from importlib.metadata import version
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import GlmConfig, GlmForCausalLM

from ecc_fed.core.errors import ConfigError, EccError
from ecc_fed.core.records import FineTuneJob
from ecc_fed.end_model.engines.reference.training import train
from ecc_fed.end_model.engines.shared.bank import AdapterLayout
from ecc_fed.end_model.engines.shared.compute_plan import GPU_PLAIN
from ecc_fed.end_model.engines.shared.packed_base import PackedBase
from ecc_fed.end_model.engines.shared.taking_apart import take_apart
from ecc_fed.end_model.engines.shared.training import train_batch
from ecc_fed.end_model.engines.shared.training_bank import TrainingBank
from ecc_fed.end_model.engines.shared.trial import trial_examples
from ecc_fed.end_model.limits import BATCH_TOKENS
from ecc_fed.end_model.training.examples import EncodedExample
from ecc_fed.hosts.caps import limit_gpu
from ecc_fed.hosts.memory import GIB, is_out_of_memory
from ecc_fed.hosts.meters import GpuMeter, HostMeter, Meter
from ecc_fed.hosts.pass_size import measure_passes
from ecc_fed.models.device import choose_device
from experiments.benchmarks.adapter_ways import adapter_seconds, median_seconds, wall_seconds
from experiments.benchmarks.load import (
    job,
    lora_config,
    necessary_flops,
    options,
    print_table,
    shop_jobs,
    write_figures,
)
from experiments.benchmarks.shops import LORA_ALPHA, RANK, settings
from experiments.benchmarks.step_parts import PARTS, step_clock

CHATGLM3_6B: dict[str, Any] = {
    "vocab_size": 65024,
    "hidden_size": 4096,
    "intermediate_size": 13696,
    "num_hidden_layers": 28,
    "num_attention_heads": 32,
    "num_key_value_heads": 2,
    "head_dim": 128,
}
DRY_RUN: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
}
ATTENTION = ("q_proj", "k_proj", "v_proj")
SHOPS = (1, 16, 64)
# Of the product whose rate is the peak.
PEAK_ROWS = 4096

# Tokens of a prompt (all turns so far) and of a reply in the E-commerce Dialogue Corpus, at these quantiles: the form
# measured on 77 of its true pairs, which have longer contexts than most, brought to the published means of 5.51 turns a
# context and 7.02 words a turn (Zhang et al. 2018). A word counts as one token, and a turn's role as four.
QUANTILES = (0.0, 0.10, 0.25, 0.50, 0.75, 0.90, 1.0)
PROMPT_TOKENS = (12, 30, 37, 58, 75, 123, 219)
REPLY_TOKENS = (2, 3, 4, 6, 8, 14, 40)


def ecd_examples(shops: int, examples: int, vocabulary: int) -> list[list[EncodedExample]]:
    """Every shop's examples, of lengths drawn from the quantiles (straight lines between them)."""
    made = []
    for shop in range(shops):
        generator = np.random.default_rng([2, shop])
        lengths = [
            np.interp(generator.random(examples), QUANTILES, tokens).round().astype(int)
            for tokens in (PROMPT_TOKENS, REPLY_TOKENS)
        ]
        made.append(
            [
                EncodedExample(generator.integers(3, vocabulary, prompt + reply).tolist(), int(prompt))
                for prompt, reply in zip(*lengths, strict=True)
            ]
        )
    return made


def random_base(shape: dict[str, Any], device: torch.device) -> Any:
    """A frozen `GlmForCausalLM` whose linear layers are NF4, as transformers loads one.

    Made one layer at a time from the meta device, so that never more than one matrix stands in bf16.

    Raises:
        ConfigError: bitsandbytes is not installed.
    """
    try:
        from bitsandbytes.nn import Linear4bit, Params4bit
    except ImportError:
        raise ConfigError("the base is held in NF4 by bitsandbytes: install `ecc_fed[quantization]`") from None
    config = GlmConfig(
        **shape, attention_bias=True, rms_norm_eps=1e-5, pad_token_id=0, eos_token_id=2, max_position_embeddings=8192
    )
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    with torch.device("meta"):
        model: Any = GlmForCausalLM(config).to(dtype).requires_grad_(False).eval()
    generator = torch.Generator(device).manual_seed(0)

    def drawn(*size: int) -> Tensor:
        return torch.randn(*size, device=device, dtype=dtype, generator=generator) * 0.02

    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            d_out, d_in = module.out_features, module.in_features
            with torch.device("meta"):
                quantized = Linear4bit(d_in, d_out, bias=False, compute_dtype=dtype, quant_type="nf4")
            quantized.weight = Params4bit(drawn(d_out, d_in), requires_grad=False, quant_type="nf4").to(device)
            if module.bias is not None:
                quantized.bias = torch.nn.Parameter(torch.zeros(d_out, device=device, dtype=dtype), requires_grad=False)
            model.set_submodule(name, quantized)
        elif isinstance(module, (torch.nn.Embedding, torch.nn.Linear)):
            module.weight = torch.nn.Parameter(drawn(*module.weight.shape), requires_grad=False)
        elif name.endswith("norm"):
            ones = torch.ones(module.weight.shape, device=device, dtype=dtype)
            module.weight = torch.nn.Parameter(ones, requires_grad=False)
    model.model.rotary_emb = type(model.model.rotary_emb)(config).to(device)
    model.is_loaded_in_4bit = True  # by which peft knows such layers
    return model


def product_peak(base: PackedBase, rows: int, repeats: int) -> float:
    """FLOP a second of the base's largest product, its weight already dequantized."""
    weight = base.layers[0].mlp_in.matrix.weight()
    x = torch.randn(rows, weight.shape[1], device=base.device, dtype=weight.dtype)
    return 2.0 * rows * weight.numel() / median_seconds(lambda: x @ weight.t(), base.device, repeats)


def new_bank(base: PackedBase, layout: AdapterLayout, shops: int) -> TrainingBank:
    """Small random adapters."""
    generator = torch.Generator(base.device).manual_seed(0)
    flat = torch.randn(shops, layout.size, device=base.device, generator=generator) * 0.02
    scale = torch.full((shops,), LORA_ALPHA / RANK, device=base.device)
    return TrainingBank(layout, flat, torch.zeros_like(flat), torch.zeros_like(flat), scale)


def peft_rate(
    model: Any, examples: Sequence[EncodedExample], steps: int, dropout: float, device: torch.device
) -> float:
    """Client-steps a second of a plain peft loop; leaves the model as it was."""
    from peft import get_peft_model

    config = lora_config()
    config.target_modules, config.lora_dropout = set(ATTENTION), dropout
    wrapped = get_peft_model(model, config)
    parameters = {name: p for name, p in wrapped.named_parameters() if p.requires_grad}
    chosen = job(list(examples), settings(steps, 1), 0)
    rate = steps / median_seconds(lambda: train(wrapped, parameters, examples, chosen, device), device, 1)
    wrapped.unload()
    return rate


class Measured:
    """What `measure_passes` asks of an end model, for these examples."""

    measures_passes = True

    def __init__(self, base: PackedBase, examples: Sequence[Sequence[EncodedExample]], dropout: float) -> None:
        self.training_tokens: int | None = None
        self._base, self._dropout = base, dropout
        self._longest = max(len(example.ids) for own in examples for example in own)

    def job_tokens(self, job: FineTuneJob) -> int:
        """Of the longest example: batches are of one."""
        return self._longest

    def trial_pass(self, job: FineTuneJob, shops: int, tokens: int) -> None:
        """One step, in one pass."""
        examples = trial_examples(shops, tokens, per_example=False)
        bank = new_bank(self._base, AdapterLayout(self._base, RANK, ATTENTION), shops)
        train_batch(self._base, bank, shop_jobs(examples, settings(1, len(examples[0]))), self._dropout, tokens)


def pass_tokens(base: PackedBase, examples: list[list[EncodedExample]], meter: Meter, chosen: Any) -> int:
    """Of a pass of these shops: as the user wants, or as memory has it; on a CPU it is not measured."""
    if chosen.batch_tokens is not None or not meter.exact:
        return chosen.batch_tokens or BATCH_TOKENS
    measured = Measured(base, examples, chosen.dropout)
    one = job(examples[0], settings(1, 1), 0)
    return measure_passes(measured, one, meter, len(examples), len(examples), "Fewer shops may fit.").tokens


def measure(
    base: PackedBase, examples: list[list[EncodedExample]], meter: Meter, peak: float, steps: int, chosen: Any
) -> dict[str, Any]:
    """One row: these shops, `steps` steps each; of `repeats` times the median counts. Then once more by parts."""
    layout = AdapterLayout(base, RANK, ATTENTION)
    shops = len(examples)
    try:
        tokens_of_a_pass = pass_tokens(base, examples, meter, chosen)
    except ConfigError as error:
        return {"shops": shops, "fits": False, "reason": str(error)}

    def work() -> None:
        jobs = shop_jobs(examples, settings(steps, 1))
        train_batch(base, new_bank(base, layout, shops), jobs, chosen.dropout, tokens_of_a_pass)

    tokens = [sum(len(example.ids) for example in own) for own in examples]
    labels = [sum(example.label_tokens for example in own) for own in examples]
    try:
        peak_bytes = meter.peak_bytes(work)
        seconds = median(wall_seconds(work, base.device) for _ in range(min(chosen.repeats, 3)))
        with step_clock(base.device) as clock:
            whole = wall_seconds(work, base.device)
        parts = clock.seconds()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return {"shops": shops, "fits": False, "reason": str(error).splitlines()[0]}
    # A shop has as many examples as steps, so every example is trained on once.
    flops = necessary_flops(base, layout, sum(tokens), sum(labels))
    sizes = [len(own[0].ids) for own in examples]
    width = base.layers[0].attention_in.d_in
    return {
        "shops": shops,
        "fits": True,
        "client_steps_per_second": shops * steps / seconds,
        "tokens_per_second": sum(tokens) / seconds,
        "tokens_per_client_step": sum(tokens) / (shops * steps),
        "pass_tokens": tokens_of_a_pass,
        "peak_gib": peak_bytes / GIB,
        "fraction_of_peak": flops / seconds / peak,
        "parts": {
            **{part: taken / whole for part, taken in parts.items()},
            "elsewhere": 1 - sum(parts.values()) / whole,
        },
        **{
            f"adapter_product_seconds_{name}": adapter_seconds(sizes, width, base.device, dtype, chosen.repeats)
            for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
        },
    }


def run(chosen: Any) -> dict[str, Any]:
    """The machine, the peft loop, and all rows, printed on the way."""
    device = choose_device(chosen.device, "end model")
    meter: Meter = HostMeter(None, 1) if device.type == "cpu" else GpuMeter(limit_gpu(chosen.memory_gib))
    shape, counts, steps = (
        (DRY_RUN, [1, 2, 3], 2) if chosen.dry_run else (CHATGLM3_6B, sorted({1, *chosen.shops}), chosen.steps)
    )
    examples = ecd_examples(max(counts), steps, shape["vocab_size"])
    model = random_base(shape, device)
    one_by_one = peft_rate(model, examples[0], steps, chosen.dropout, device)
    base = take_apart(model, device, plan=GPU_PLAIN if device.type == "cpu" else None)
    del model
    gc.collect()
    peak = product_peak(base, 64 if chosen.dry_run else PEAK_ROWS, chosen.repeats)
    machine = {
        "card": torch.cuda.get_device_name(0) if device.type == "cuda" else "CPU",
        **{name: version(name) for name in ("torch", "bitsandbytes", "peft")},
        "memory_gib": chosen.memory_gib if device.type == "cuda" else None,
        "product_peak_tflops": peak / 1e12,
        "peft_client_steps_per_second": one_by_one,
    }
    for name, value in machine.items():
        print(f"{name.replace('_', ' ')}: {value:.3g}" if isinstance(value, float) else f"{name}: {value}")
    rows: list[dict[str, Any]] = []
    for count in counts:
        row = measure(base, examples[:count], meter, peak, steps, chosen)
        if row["fits"]:
            rate = row["client_steps_per_second"]
            row["ratio_to_one_at_a_time"] = rate / rows[0]["client_steps_per_second"] if rows else 1.0
            row["ratio_to_peft_loop"] = rate / one_by_one
        rows.append(row)
        if not row["fits"]:
            break
    return {"machine": machine, "rows": rows}


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints the tables, writes the rows."""
    parser = options(__doc__, shapes=())
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--dry-run", action="store_true", help="a small shape and a few shops, to see that it runs")
    parser.add_argument("--memory-gib", type=float, default=24.0, help="hard cap on the GPU's memory")
    parser.add_argument("--shops", type=int, nargs="+", default=list(SHOPS))
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--batch-tokens", type=int, help="of a pass; as measured memory has it if not given")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args(arguments)
    chosen.dry_run |= chosen.quick
    try:
        figures = run(chosen)
    except EccError as error:
        parser.exit(2, f"{error}\n")
    columns = (
        "client_steps_per_second",
        "tokens_per_second",
        "ratio_to_one_at_a_time",
        "ratio_to_peft_loop",
        "pass_tokens",
        "peak_gib",
        "fraction_of_peak",
    )
    rows = figures["rows"]
    fitting = [row for row in rows if row["fits"]]
    print_table(
        [
            "shops",
            "client-steps/s",
            "tokens/s",
            "to one at a time",
            "to peft",
            "tokens a pass",
            "peak GiB",
            "of the peak",
        ],
        [[row["shops"], *(row[name] for name in columns)] for row in fitting],
    )
    for row in rows[len(fitting) :]:
        print(f"{row['shops']} shops do not fit: {row['reason']}")
    if fitting:
        print(f"most shops at once: {fitting[-1]['shops']}" + ("" if len(fitting) < len(rows) else " or more"))
    print("\nof a step's time")
    print_table(
        ["shops", *PARTS, "elsewhere"],
        [[row["shops"], *(row["parts"][name] for name in (*PARTS, "elsewhere"))] for row in fitting],
    )
    print("\nmilliseconds for one projection's adapter products")
    ways = [(kind, name) for kind in ("fp32", "bf16") for name in ("segments", "padded", "grouped")]
    print_table(
        ["shops", *(f"{name} {kind}" for kind, name in ways)],
        [
            [row["shops"], *(_milliseconds(row[f"adapter_product_seconds_{kind}"].get(name)) for kind, name in ways)]
            for row in fitting
        ],
    )
    write_figures(chosen.json, figures)


def _milliseconds(seconds: float | None) -> float | str:
    return "-" if seconds is None else seconds * 1e3


if __name__ == "__main__":
    main()
