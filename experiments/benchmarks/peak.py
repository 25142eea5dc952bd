"""How near a training step comes to what the machine's matrix products can do.

    python -m experiments.benchmarks.peak --json FILE

The peak is measured here, on the base's own largest product; both sides use one thread and fp32. A step's necessary
work is counted from the shapes: the base forward and backward to its input, and the adapters' own products. Prints
GFLOP per CPU second of the peak, of the shared engine and of a plain peft loop, and where the engine's time goes;
writes {shape: {"fraction_of_peak": x}} to FILE.
"""

from __future__ import annotations

import torch
from torch.profiler import ProfilerActivity, profile

from ecc_fed.end_model.engines.reference.training import train
from ecc_fed.end_model.engines.shared.training import train_batch
from experiments.benchmarks.load import (
    CPU,
    REPEATS,
    job,
    necessary_flops,
    options,
    packed,
    peft_model,
    print_table,
    random_examples,
    random_model,
    rates_and_ratios,
    shop_jobs,
    timed,
    training_bank,
    write_figures,
)
from experiments.benchmarks.shops import settings

STEPS = 2
PRODUCTS = 20


def measure(shape: str, shops: int, batch_size: int, repeats: int) -> tuple[dict[str, float], dict[str, float]]:
    """GFLOP per CPU second of each side, and each one's share of the peak; prints the engine's profile."""
    torch.set_num_threads(1)
    model = random_model(shape)
    # A batch holds all examples, so that every step is the same work.
    examples = random_examples(shape, shops, batch_size)
    chosen = settings(STEPS, batch_size)
    wrapped, parameters = peft_model(model)
    base = packed(model)
    layout = training_bank(base, 1).layout
    tokens = [sum(len(example.ids) for example in own) for own in examples]
    labels = [sum(example.label_tokens for example in own) for own in examples]
    weight = base.layers[0].mlp_in.matrix.weight()
    x = torch.randn(sum(tokens), weight.shape[1]).to(weight.dtype)

    def together() -> None:
        train_batch(base, training_bank(base, shops), shop_jobs(examples, chosen), 0.0, sum(tokens))

    seconds = timed(
        {
            "peak": lambda: [x @ weight.t() for _ in range(PRODUCTS)],
            "shared engine": together,
            "peft loop": lambda: train(wrapped, parameters, examples[0], job(examples[0], chosen, 0), CPU),
        },
        repeats,
    )
    work = {
        "peak": PRODUCTS * 2.0 * sum(tokens) * weight.numel(),
        "shared engine": STEPS * necessary_flops(base, layout, sum(tokens), sum(labels)),
        "peft loop": STEPS * necessary_flops(base, layout, tokens[0], labels[0]),
    }
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        together()
    print(f"\n{shape}: where the shared engine's time goes")
    _print_profile(profiled)
    return rates_and_ratios(seconds, {name: flops / 1e9 for name, flops in work.items()}, "peak")


def _print_profile(profiled: profile, lines: int = 8) -> None:
    events = sorted(profiled.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    rows = [[e.key, e.count, e.self_cpu_time_total / 1e3, f"{e.self_cpu_time_total / total:.1%}"] for e in events]
    print_table(["operator", "calls", "ms", "share"], rows[:lines])


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints the tables, writes the fractions."""
    parser = options(__doc__)
    parser.add_argument("--shops", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, help=f"default {REPEATS}")
    chosen = parser.parse_args(arguments)
    measured = {}
    for shape in chosen.shapes:
        repeats = 1 if chosen.quick else chosen.repeats or REPEATS[shape]
        measured[shape] = measure(shape, chosen.shops, chosen.batch_size, repeats)
    print()
    rows = [[shape, name, rates[name], shares[name]] for shape, (rates, shares) in measured.items() for name in rates]
    print_table(["shape", f"{chosen.shops} shops, batches of {chosen.batch_size}", "GFLOP/s", "of the peak"], rows)
    figures = {shape: {"fraction_of_peak": shares["shared engine"]} for shape, (_, shares) in measured.items()}
    write_figures(chosen.json, figures)


if __name__ == "__main__":
    main()
