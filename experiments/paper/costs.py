"""What each fine-tuning method costs: every one in a fresh process, by the same engine, on the same dialogues.

python -m experiments.paper.costs          writes costs.json beside this file
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

METHODS = ("prefix_tuning", "p_tuning_v2", "lora")


def measure(method: str, steps: int, replies: int) -> dict[str, Any]:
    """Fine-tunes and answers in this process; CPU seconds on one thread, bytes of resident memory."""
    import torch

    from ecc_fed.assembly.build import build_corpus, build_end_model, build_settings
    from ecc_fed.assembly.compose import compose_run, to_run_config
    from ecc_fed.core.records import Example, FineTuneJob, ReplyRequest
    from ecc_fed.hosts.memory import peak_resident_bytes

    torch.set_num_threads(1)
    config = to_run_config(compose_run(["experiment=paper_table6", f"adapter={method}", "runtime.engine=peft"]))
    corpus = build_corpus(config)
    shop = corpus.shop(corpus.shop_ids()[0])
    settings = build_settings(config)
    engine = build_end_model(config)
    adapter = engine.new_adapter(0)
    examples = tuple(Example(pair.prompt, pair.reply) for pair in (*shop.history, *shop.stream))
    warm = FineTuneJob(adapter, None, examples, replace(settings.fine_tune, steps=1), 0)
    # One reply before the mark, so that what generation takes is in it and what training takes is not.
    prompts = tuple(pair.prompt for pair in shop.test[:replies])
    engine.reply([ReplyRequest(None, prompts, settings.decoding, 0)])
    before = peak_resident_bytes()
    engine.fine_tune([warm])
    started = time.process_time()
    tuned = engine.fine_tune([replace(warm, settings=replace(warm.settings, steps=steps))])[0]
    step_seconds = (time.process_time() - started) / steps
    peak = peak_resident_bytes()
    started = time.process_time()
    engine.reply([ReplyRequest(tuned.adapter, prompts, settings.decoding, 0)])
    return {
        "trainable_parameters": sum(tensor.size for tensor in adapter.values()),
        "cpu_seconds_per_step": step_seconds,
        "cpu_seconds_per_reply": (time.process_time() - started) / len(prompts),
        "training_bytes": peak - before,
        "peak_bytes": peak_resident_bytes(),
    }


def main() -> int:
    """Measures every method, or one in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=METHODS, help="measure this one here and print it")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--replies", type=int, default=16)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("costs.json"))
    given = parser.parse_args()
    if given.method:
        print(json.dumps(measure(given.method, given.steps, given.replies)))
        return 0
    found = {}
    for method in METHODS:
        arguments = ["--method", method, "--steps", str(given.steps), "--replies", str(given.replies)]
        command = [sys.executable, "-m", "experiments.paper.costs", *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[method] = json.loads(done.stdout.splitlines()[-1])
        print(method, found[method])
    document = {"steps": given.steps, "replies": given.replies, "methods": found}
    given.output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
