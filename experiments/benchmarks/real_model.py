"""A real end model on real texts: replies and steps a CPU second, and memory by the number of shops.

    python -m experiments.benchmarks.real_model end_model.path=FILE corpus=jddc corpus.path=FILE --json OUT

The overrides are those of `ecc-fed run`: base, dialogues, quantization. Texts are the first shop's pairs.

- `replies`: greedy, the base alone, one thread, the same prompts: the engine's batches against transformers'
  `generate`, one prompt after another. Replies end where they end, so both sides draw the same tokens but for rounding.
- `steps`: seconds of CPU of an optimizer step, by shops side by side, and what 100 steps of four shops come to on two
  cores, if both had nothing else to do.
- `memory`: the most that a process holds while it opens the base and trains, by shops side by side.

Prints a table each and writes {"reply_ratio_8", "reply_ratio_32", "memory_ratio_8", "minutes_4_shops_100_steps"} to
OUT.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecc_fed.assembly.build import base_path, build_end_model
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.protocols import EndModel
from ecc_fed.core.records import Decoding, Example, FineTuneJob, FineTuneSettings, Pair, ReplyRequest
from ecc_fed.runs.reading import read_corpus
from experiments.benchmarks.load import cpu_seconds, options, print_table, write_figures

MIB = 2**20
PARTS = ("replies", "steps", "memory")
# Cores of the machine that the projection is for.
_CORES = 2


def peak_mib() -> float:
    """The most that this process has held so far (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def opened(config: RunConfig) -> tuple[EndModel, list[Pair]]:
    """The end model, and the first shop's pairs in time order."""
    torch.set_num_threads(1)
    shop = read_corpus(config)[0][0]
    return build_end_model(config), [*shop.history, *shop.stream, *shop.test]


def jobs(model: EndModel, pairs: Sequence[Pair], shops: int, steps: int, batch_size: int) -> list[FineTuneJob]:
    """One job a shop, each with other pairs of the same lengths in the mean."""
    chosen = FineTuneSettings(steps=steps, batch_size=batch_size, learning_rate=1e-4)
    made = []
    for shop in range(shops):
        places = np.random.default_rng(shop).integers(0, len(pairs), steps * batch_size)
        examples = tuple(Example(pairs[int(place)].prompt, pairs[int(place)].reply) for place in places)
        made.append(FineTuneJob(model.new_adapter(shop), None, examples, chosen, shop))
    return made


def by_generate(path: str, config: RunConfig, pairs: Sequence[Pair], decoding: Decoding) -> tuple[list[str], float]:
    """transformers' replies, one prompt after another, and CPU seconds."""
    from ecc_fed.assembly.build import system_text
    from ecc_fed.end_model.base import load_base
    from ecc_fed.end_model.text.decoding import decode_reply
    from ecc_fed.end_model.text.prompting import encode_prompt

    base = load_base(path, "none", "cpu", system_text(config), config.end_model.sha256)
    model: Any = base.model
    replies: list[str] = []

    @torch.inference_mode()
    def work() -> None:
        for pair in pairs:
            ids = torch.tensor([
                encode_prompt(base.tokenizer, pair.prompt, config.end_model.max_prompt_tokens, base.system)
            ])  # fmt: skip
            output = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=decoding.max_new_tokens,
                eos_token_id=sorted(base.end_marks.ids),
                pad_token_id=0,
                repetition_penalty=1.0,
            )
            drawn = [token for token in output[0, ids.shape[1] :].tolist() if token not in base.end_marks.ids]
            replies.append(decode_reply(base.tokenizer, drawn))

    seconds = cpu_seconds(work)
    return replies, seconds


def replies_part(config: RunConfig, batches: Sequence[int], count: int, new_tokens: int) -> dict[int, float]:
    """Prints CPU seconds a reply of the same prompts in batches and by `generate`; returns the ratios by batch size."""
    decoding = Decoding(max_new_tokens=new_tokens, sample=False)
    model, pairs = opened(config)
    asked = pairs[:count]
    seconds, texts = {}, []
    for size in batches:
        parts = [asked[start : start + size] for start in range(0, len(asked), size)]
        requests = [ReplyRequest(None, tuple(pair.prompt for pair in part), decoding, 0) for part in parts]
        texts.clear()
        seconds[size] = cpu_seconds(lambda all_=requests: texts.extend(model.reply([one])[0] for one in all_))
    said, alone = by_generate(base_path(config), config, asked, decoding)
    drawn = [reply for part in texts for reply in part]
    equal = sum(one == other for one, other in zip(said, drawn, strict=True))
    print(f"{equal} of {len(asked)} replies are letter for letter those of generate")
    ratios = {size: alone / taken for size, taken in seconds.items()}
    print_table(
        [f"{len(asked)} replies", f"CPU s a reply, up to {new_tokens} tokens", "ratio"],
        [
            *([f"batches of {size}", taken / len(asked), ratios[size]] for size, taken in seconds.items()),
            ["generate, one at a time", alone / len(asked), 1.0],
        ],
    )
    return ratios


def steps_part(config: RunConfig, counts: Sequence[int], steps: int, batch_size: int) -> dict[int, float]:
    """Prints and returns CPU seconds of a step of all shops together, by their number."""
    model, pairs = opened(config)
    model.fine_tune(jobs(model, pairs, 1, 1, 1))
    found = {}
    for count in counts:
        asked = jobs(model, pairs, count, steps, batch_size)
        found[count] = cpu_seconds(lambda one=asked: model.fine_tune(one)) / steps
    rows = [[count, value, value / count, 100 * value / _CORES / 60] for count, value in found.items()]
    print_table(
        ["shops", f"CPU s a step, batches of {batch_size}", "a shop", f"minutes of 100 steps on {_CORES} idle cores"],
        rows,
    )
    return found


def memory_part(overrides: Sequence[str], counts: Sequence[int], batch_size: int) -> dict[int, float]:
    """Prints and returns the peak of a process of its own, by its number of shops, in MiB."""
    found = {}
    for count in counts:
        command = [sys.executable, "-m", "experiments.benchmarks.real_model", "--child", str(count)]
        command += ["--batch-size", str(batch_size), *overrides]
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
        found[count] = float(json.loads(done.stdout.strip().splitlines()[-1])["peak_mib"])
    first = found[counts[0]]
    print_table(["shops", "peak, MiB", "ratio"], [[count, f"{v:.0f}", v / first] for count, v in found.items()])
    return found


def child(config: RunConfig, shops: int, batch_size: int) -> None:
    """Opens the base, trains one step of the shops, and prints the peak."""
    model, pairs = opened(config)
    before = peak_mib()
    model.fine_tune(jobs(model, pairs, shops, 1, batch_size))
    print(json.dumps({"opened_mib": before, "peak_mib": peak_mib()}))


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints the tables, writes the figures."""
    parser = options(__doc__, shapes=())
    parser.add_argument("overrides", nargs="*", help="settings, as for `ecc-fed run`")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_intermixed_args(arguments)
    config = to_run_config(compose_run(chosen.overrides))
    if chosen.child:
        child(config, chosen.child, chosen.batch_size)
        return
    quick = chosen.quick
    figures: dict[str, float] = {}
    if "replies" in chosen.parts:
        started = time.process_time()
        opened(config)
        print(f"opened in {time.process_time() - started:.1f} CPU s; {peak_mib():.0f} MiB at most")
        batches, count = ([1, 2], 2) if quick else ([8, 32], 32)
        ratios = replies_part(config, batches, count, 4 if quick else chosen.new_tokens)
        figures.update({f"reply_ratio_{size}": round(ratio, 2) for size, ratio in ratios.items()})
    if "steps" in chosen.parts:
        counts = [1, 2] if quick else [1, 2, 4]
        seconds = steps_part(config, counts, 1 if quick else chosen.steps, chosen.batch_size)
        figures["minutes_4_shops_100_steps"] = round(100 * seconds[counts[-1]] / _CORES / 60, 3)
    if "memory" in chosen.parts:
        held = memory_part(chosen.overrides, [1, 2] if quick else [1, 8], chosen.batch_size)
        figures["memory_ratio_8"] = round(held[max(held)] / held[1], 3)
    write_figures(chosen.json, figures)


if __name__ == "__main__":
    main()
