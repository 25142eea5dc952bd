"""What a step under record-level differential privacy costs beside a plain one, on the shared engine and by peft's way.

    python -m experiments.benchmarks.private_steps [--shops 16] [--batch-size 8] [--json FILE]

A private step needs the gradient of every example by itself. The engine has an adapter for each row anyway, so that an
example's gradient is a row of its own; a plain loop goes through the batch one example at a time. CPU seconds of one
thread; a private batch is drawn by Poisson sampling, as many examples as the plain one's in the mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from ecc_fed.core.records import FineTuneJob
from ecc_fed.end_model.engines.reference.training import train
from ecc_fed.end_model.engines.shared.training import train_batch
from ecc_fed.end_model.engines.shared.training_bank import ShopJob
from ecc_fed.end_model.training.record_privacy import RecordPrivacy
from experiments.benchmarks.load import (
    CPU,
    job,
    options,
    packed,
    peft_model,
    print_table,
    random_examples,
    random_model,
    rates_and_ratios,
    timed,
    training_bank,
    write_figures,
)
from experiments.benchmarks.shops import RANK, settings

RULE = RecordPrivacy(clipping_norm=1.0, noise_multiplier=1.0)


def private(plain: FineTuneJob) -> FineTuneJob:
    """The same job under the rule."""
    return replace(plain, gradient=RULE)


def measure(
    shape: str, shops: int, steps: int, repeats: int, batch_size: int
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Client-steps per CPU second; by how much a private step is dearer than a plain one, on either engine."""
    torch.set_num_threads(1)
    model, examples = random_model(shape), random_examples(shape, shops)
    chosen = settings(steps, batch_size)
    base, (wrapped, parameters) = packed(model), peft_model(model)

    def together(rule: Callable[[FineTuneJob], FineTuneJob]) -> None:
        jobs = [ShopJob(rule(job(own, chosen, seed)), own, 0, RANK) for seed, own in enumerate(examples)]
        train_batch(base, training_bank(base, shops), jobs, 0.0, 4096)

    def one_by_one(rule: Callable[[FineTuneJob], FineTuneJob]) -> None:
        for seed, own in enumerate(examples):
            train(wrapped, parameters, own, rule(job(own, chosen, seed)), CPU)

    def plain(each: FineTuneJob) -> FineTuneJob:
        return each

    works: dict[str, Callable[[], object]] = {
        "engine, plain": partial(together, plain),
        "engine, private": partial(together, private),
        "peft loop, plain": partial(one_by_one, plain),
        "peft loop, private": partial(one_by_one, private),
    }
    seconds = timed(works, repeats)
    units = dict.fromkeys(works, float(shops * steps))
    rates, to_engine = rates_and_ratios(seconds, units, "engine, private")
    _, to_loop = rates_and_ratios(seconds, units, "peft loop, private")
    costs = {"engine": to_engine["engine, plain"], "peft loop": to_loop["peft loop, plain"]}
    return rates, costs, {"private step, engine to peft loop": to_loop["engine, private"]}


def main(arguments: list[str] | None = None) -> None:
    """Measures and prints."""
    parser = options(__doc__)
    parser.add_argument("--shops", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=8)
    chosen = parser.parse_args(arguments)
    steps, repeats = (1, 1) if chosen.quick else (10, 3)
    table, figures = [], {}
    for shape in chosen.shapes:
        rates, costs, ratio = measure(shape, chosen.shops, steps, repeats, chosen.batch_size)
        table += [[shape, name, rate] for name, rate in rates.items()]
        figures[shape] = {**{f"private step, {name}: times a plain one": cost for name, cost in costs.items()}, **ratio}
        table += [[shape, name, value] for name, value in figures[shape].items()]
    print_table([f"shape, {chosen.shops} shops, batches of {chosen.batch_size}", "", "client-steps/s, or times"], table)
    write_figures(chosen.json, figures)


if __name__ == "__main__":
    main()
