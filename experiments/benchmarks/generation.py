"""Replies a second and core: the shared engine against transformers' generate on peft, one shop after another.

    python -m experiments.benchmarks.generation --json FILE

Greedy, one prompt a shop, every shop its own adapter, all on one thread. Prints replies per CPU second, each batch's
ratio to the peft loop, and how many replies are token for token the same; writes {shape: {"ratio_8": x, "ratio_32": y}}
to FILE.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from ecc_fed.core.records import Decoding
from ecc_fed.end_model.engines.replies import EndMarks
from ecc_fed.end_model.engines.sampling import make_rows
from ecc_fed.end_model.engines.shared.active_adapters import ActiveAdapters
from ecc_fed.end_model.engines.shared.generation import generate_batch
from experiments.benchmarks.load import (
    options,
    packed,
    peft_model,
    print_table,
    random_model,
    rates_and_ratios,
    timed,
    training_bank,
    write_figures,
)
from experiments.benchmarks.shops import RANK, SHAPES

END = EndMarks(frozenset({2}))
# Of the peft loop, which is as fast for few shops as for many.
LOOP_SHOPS = 8


def measure(shape: str, batches: list[int], new_tokens: int, repeats: int) -> tuple[dict[str, float], dict[str, float]]:
    """Replies per CPU second of the peft loop and of every batch size, and their ratios to it."""
    torch.set_num_threads(1)
    model = random_model(shape)
    wrapped, parameters = peft_model(model)
    wrapped.eval()
    shops = max(*batches, LOOP_SHOPS)
    base = packed(model)
    bank = training_bank(base, shops)
    states = [bank.layout.read(row, RANK) for row in bank.flat.numpy()]
    generator = np.random.default_rng(1)
    prompts = [
        generator.integers(3, SHAPES[shape]["vocab_size"], int(generator.integers(17, 51))).tolist()
        for _ in range(shops)
    ]
    rows = make_rows(prompts, Decoding(max_new_tokens=new_tokens, sample=False), 0)

    @torch.inference_mode()
    def one_by_one(count: int) -> list[list[int]]:
        replies = []
        for state, prompt in zip(states[:count], prompts, strict=False):
            for name, parameter in parameters.items():
                parameter.copy_(torch.from_numpy(state[name.replace(".default.", ".")]))
            ids = torch.tensor([prompt])
            output = wrapped.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=new_tokens,
                eos_token_id=sorted(END.ids),
                pad_token_id=0,
            )
            replies.append([token for token in output[0, ids.shape[1] :].tolist() if token not in END.ids])
        return replies

    def together(count: int) -> list[list[int]]:
        adapters = ActiveAdapters(bank.layout, bank.flat[:count], bank.scale[:count])
        return [drawn.ids for drawn in generate_batch(base, adapters, rows[:count], range(count), END)]

    equal = sum(one == other for one, other in zip(one_by_one(shops), together(shops), strict=True))
    works: dict[str, Callable[[], object]] = {"peft loop": partial(one_by_one, LOOP_SHOPS)}
    works |= {f"{count} shops": partial(together, count) for count in batches}
    replies = {"peft loop": float(LOOP_SHOPS)} | {f"{count} shops": float(count) for count in batches}
    print(f"{shape}: {equal} of {shops} replies are token for token those of peft")
    return rates_and_ratios(timed(works, repeats), replies, "peft loop")


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints the table, writes the ratios."""
    parser = options(__doc__, shapes=["tiny"])
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args(arguments)
    repeats, new_tokens = (1, 4) if chosen.quick else (chosen.repeats, chosen.new_tokens)
    measured = {shape: measure(shape, [1, 8, 32], new_tokens, repeats) for shape in chosen.shapes}
    rows = [[shape, name, rates[name], ratios[name]] for shape, (rates, ratios) in measured.items() for name in rates]
    print_table(["shape", f"{new_tokens} new tokens", "replies/s", "ratio"], rows)
    figures = {
        shape: {f"ratio_{count}": ratios[f"{count} shops"] for count in (8, 32)}
        for shape, (_, ratios) in measured.items()
    }
    write_figures(chosen.json, figures)


if __name__ == "__main__":
    main()
