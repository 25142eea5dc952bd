"""Which learning rate suits a method: one shop of a world that the study does not use, held-out likelihood after.

python -m experiments.paper.rates prefix_tuning 0.001 0.002 0.004 0.007 0.015 0.05
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

import torch

from ecc_fed.assembly.build import build_corpus, build_end_model, build_settings
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.core.errors import EccError
from ecc_fed.core.records import Example, FineTuneJob, LikelihoodRequest

_SEED, _STEPS = 100, 50


def main() -> int:
    """Prints a line a rate: mean training loss a token, then nats a character on the test replies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=("prefix_tuning", "p_tuning_v2", "lora"))
    parser.add_argument("rates", type=float, nargs="+")
    given = parser.parse_args()
    torch.set_num_threads(1)
    world = [f"seed={_SEED}", "corpus.num_shops=2", "corpus.pairs_per_shop=200"]
    try:
        config = to_run_config(compose_run([f"adapter={given.method}", "runtime.engine=peft", *world]))
        engine = build_end_model(config)
    except EccError as error:
        print(error, file=sys.stderr)
        return 1
    corpus = build_corpus(config)
    shop = corpus.shop(corpus.shop_ids()[0])
    examples = tuple(Example(pair.prompt, pair.reply) for pair in (*shop.history, *shop.stream))
    test = tuple(Example(pair.prompt, pair.reply) for pair in shop.test)
    for rate in given.rates:
        settings = replace(build_settings(config).fine_tune, steps=_STEPS, learning_rate=rate)
        tuned = engine.fine_tune([FineTuneJob(engine.new_adapter(0), None, examples, settings, 0)])[0]
        found = engine.likelihood([LikelihoodRequest(tuned.adapter, test)])[0]
        nats = sum(each.nll_nats for each in found) / sum(each.characters for each in found)
        print(f"{given.method} {rate:g}: training {sum(tuned.losses) / _STEPS:.3f}, held out {nats:.3f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
