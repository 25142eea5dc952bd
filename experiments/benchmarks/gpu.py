"""One card, many shops: fine-tuning over one base of ChatGLM3-6B's shape in NF4, by the number of shops.

    python -m experiments.benchmarks.gpu --json FILE
    python -m experiments.benchmarks.gpu --device cpu --dry-run

The weights are random: shapes and lengths decide speed, not values. Every shop trains an adapter of its own (as in the
paper: rank 8 on q, k and v, dropout 0.1, batches of one) on examples as long as the E-commerce Dialogue Corpus has
them. The card is held to 24 GiB; a pass of a step takes at most `--batch-tokens` tokens, and a step as many passes as
its shops need. Prints client-steps a wall second, against one shop at a time over the same engine and over peft, peak
memory, the share of the card's measured bf16 product peak, and three ways to compute the adapters' products. Writes a
row for every number of shops to FILE. Needs neither Ray nor Flower; the dry run needs no GPU.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import GlmConfig, GlmForCausalLM

from ecc_fed.core.errors import ConfigError, EccError
from ecc_fed.end_model.engines.reference.training import train
from ecc_fed.end_model.engines.shared.bank import AdapterLayout
from ecc_fed.end_model.engines.shared.groups import Groups
from ecc_fed.end_model.engines.shared.packed_base import PackedBase
from ecc_fed.end_model.engines.shared.taking_apart import take_apart
from ecc_fed.end_model.engines.shared.training import train_batch
from ecc_fed.end_model.engines.shared.training_bank import TrainingBank
from ecc_fed.end_model.training.examples import EncodedExample
from ecc_fed.hosts.caps import limit_gpu
from ecc_fed.hosts.memory import GIB, is_out_of_memory
from ecc_fed.hosts.meters import GpuMeter, HostMeter, Meter
from ecc_fed.models.device import choose_device
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
SHOPS = (1, 2, 4, 8, 16, 24, 32, 48, 64)

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


def wall_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Until the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def median_seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """After one call that does not count."""
    work()
    return median(wall_seconds(work, device) for _ in range(repeats))


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


def grouped_mm() -> Callable[..., Tensor] | None:
    """torch's product of packed rows with a matrix a group, under the name this release has for it."""
    return getattr(torch.nn.functional, "grouped_mm", None) or getattr(torch, "_grouped_mm", None)


class GroupedProduct:
    """`Groups` by torch's grouped product: one launch, no padding."""

    def __init__(self, sizes: Sequence[int], device: torch.device) -> None:
        function = grouped_mm()
        assert function is not None
        self._product = function
        self._ends = torch.tensor(np.cumsum(sizes), dtype=torch.int32, device=device)

    def project(self, x: Tensor, w: Tensor) -> Tensor:
        """x_g w_g^T: x (N, d), w (groups, e, d) -> (N, e)."""
        return self._product(x, w.transpose(1, 2), offs=self._ends)

    def add_back(self, x: Tensor, h: Tensor, w: Tensor) -> None:
        """x_g += h_g w_g in place: x (N, d), h (N, e), w (groups, e, d)."""
        x += self._product(h, w, offs=self._ends)

    def outer(self, h: Tensor, x: Tensor, out: Tensor) -> None:
        """out_g = h_g^T x_g: h (N, e), x (N, d) -> out (groups, e, d)."""
        out.copy_(self._product(h.t(), x, offs=self._ends))


def adapter_ways(sizes: Sequence[int], device: torch.device) -> dict[str, Groups | GroupedProduct]:
    """The ways to compute the adapters' products for groups of these sizes."""
    rows = range(len(sizes))
    ways: dict[str, Groups | GroupedProduct] = {
        "segments": Groups(rows, sizes, device, loop=True),
        "padded": Groups(rows, sizes, device, loop=False),
    }
    if grouped_mm() is not None:
        ways["grouped"] = GroupedProduct(sizes, device)
    return ways


def adapter_seconds(
    sizes: Sequence[int], width: int, device: torch.device, dtype: torch.dtype, repeats: int
) -> dict[str, float | None]:
    """Each way's seconds for one projection's three kinds of products; None where torch refuses the dtype here."""
    generator = torch.Generator(device).manual_seed(0)
    x, h, w = (
        torch.randn(*size, device=device, generator=generator).to(dtype)
        for size in ((sum(sizes), width), (sum(sizes), RANK), (len(sizes), RANK, width))
    )
    out = torch.empty_like(w)

    def work(way: Groups | GroupedProduct) -> None:
        way.project(x, w)
        way.add_back(x, h, w)
        way.outer(h, x, out)

    seconds: dict[str, float | None] = {}
    for name, way in adapter_ways(sizes, device).items():
        try:
            seconds[name] = median_seconds(partial(work, way), device, repeats)
        except (RuntimeError, NotImplementedError):
            seconds[name] = None
    return seconds


def measure(
    base: PackedBase, examples: list[list[EncodedExample]], meter: Meter, peak: float, steps: int, chosen: Any
) -> dict[str, Any]:
    """One row: these shops, `steps` steps each, twice; the second time counts."""
    layout = AdapterLayout(base, RANK, ATTENTION)
    shops = len(examples)

    def work() -> None:
        jobs = shop_jobs(examples, settings(steps, 1))
        train_batch(base, new_bank(base, layout, shops), jobs, chosen.dropout, chosen.batch_tokens)

    tokens = [sum(len(example.ids) for example in own) for own in examples]
    labels = [sum(example.label_tokens for example in own) for own in examples]
    try:
        peak_bytes = meter.peak_bytes(work)
        seconds = wall_seconds(work, base.device)
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
        "tokens_per_client_step": sum(tokens) / (shops * steps),
        "peak_gib": peak_bytes / GIB,
        "fraction_of_peak": flops / seconds / peak,
        **{
            f"adapter_product_seconds_{name}": adapter_seconds(sizes, width, base.device, dtype, chosen.repeats)
            for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
        },
    }


def run(chosen: Any) -> list[dict[str, Any]]:
    """All rows, printed on the way."""
    device = choose_device(chosen.device, "end model")
    meter: Meter = HostMeter(None, 1) if device.type == "cpu" else GpuMeter(limit_gpu(chosen.memory_gib))
    shape, counts, steps = (
        (DRY_RUN, [1, 2, 3], 2) if chosen.dry_run else (CHATGLM3_6B, sorted({1, *chosen.shops}), chosen.steps)
    )
    examples = ecd_examples(max(counts), steps, shape["vocab_size"])
    model = random_base(shape, device)
    one_by_one = peft_rate(model, examples[0], steps, chosen.dropout, device)
    base = take_apart(model, device)
    del model
    gc.collect()
    peak = product_peak(base, chosen.batch_tokens, chosen.repeats)
    where = torch.cuda.get_device_name(0) if device.type == "cuda" else "CPU"
    print(f"{where}: product peak {peak / 1e12:.3g} TFLOP/s; a plain peft loop {one_by_one:.3g} client-steps/s")
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
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints the tables, writes the rows."""
    parser = options(__doc__, shapes=())
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--dry-run", action="store_true", help="a small shape and a few shops, to see that it runs")
    parser.add_argument("--memory-gib", type=float, default=24.0, help="hard cap on the GPU's memory")
    parser.add_argument("--shops", type=int, nargs="+", default=list(SHOPS))
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--batch-tokens", type=int, default=1024)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args(arguments)
    chosen.dry_run |= chosen.quick
    try:
        rows = run(chosen)
    except EccError as error:
        parser.exit(2, f"{error}\n")
    columns = (
        "client_steps_per_second",
        "ratio_to_one_at_a_time",
        "ratio_to_peft_loop",
        "peak_gib",
        "fraction_of_peak",
    )
    fitting = [row for row in rows if row["fits"]]
    print_table(
        ["shops", "client-steps/s", "to one at a time", "to peft", "peak GiB", "of the peak"],
        [[row["shops"], *(row[name] for name in columns)] for row in fitting],
    )
    for row in rows[len(fitting) :]:
        print(f"{row['shops']} shops do not fit: {row['reason']}")
    if fitting:
        print(f"most shops at once: {fitting[-1]['shops']}" + ("" if len(fitting) < len(rows) else " or more"))
    print("\nmilliseconds for one projection's adapter products")
    ways = [(kind, name) for kind in ("fp32", "bf16") for name in ("segments", "padded", "grouped")]
    print_table(
        ["shops", *(f"{name} {kind}" for kind, name in ways)],
        [
            [row["shops"], *(_milliseconds(row[f"adapter_product_seconds_{kind}"].get(name)) for kind, name in ways)]
            for row in fitting
        ],
    )
    write_figures(chosen.json, rows)


def _milliseconds(seconds: float | None) -> float | str:
    return "-" if seconds is None else seconds * 1e3


if __name__ == "__main__":
    main()
