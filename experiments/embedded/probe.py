"""What LoRA can teach the tiny end model: facts of private shops, in question forms it never trained on.

Only a check: nothing the shipped models were trained on comes from here.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence

import torch

from ecc_fed.core.facts import states_all
from ecc_fed.core.protocols import EndModel
from ecc_fed.core.records import (
    AdapterState,
    Decoding,
    Example,
    FineTuneJob,
    FineTuneSettings,
    Pair,
    ReplyRequest,
    Shop,
)
from ecc_fed.core.seeding import derive_seed
from ecc_fed.corpus.simulator.corpus import SimulatorCorpus
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.base import load_base
from ecc_fed.end_model.engines.reference.engine import PeftEngine
from ecc_fed.end_model.limits import TokenLimits

GREEDY = Decoding(max_new_tokens=64, sample=False)


def answer(model: EndModel, adapter: AdapterState | None, pairs: Sequence[Pair]) -> list[str]:
    """Greedy replies to the pairs' prompts."""
    return model.reply([ReplyRequest(adapter, tuple(pair.prompt for pair in pairs), GREEDY, seed=0)])[0]


def tune(model: EndModel, shop: Shop, num_pairs: int, steps: int, seed: int) -> AdapterState:
    """A fresh adapter trained on the shop's first `num_pairs` pairs, rate decaying linearly to 0."""
    examples = tuple(Example(pair.prompt, pair.reply) for pair in (*shop.history, *shop.stream)[:num_pairs])
    settings = FineTuneSettings(steps=steps, batch_size=8, learning_rate=2e-3, linear_decay=True)
    job = FineTuneJob(
        model.new_adapter(derive_seed(seed, "adapter", shop.shop_id)),
        None,
        examples,
        settings,
        derive_seed(seed, "tune"),
    )
    return model.fine_tune([job])[0].adapter


def probe(folder: str, shops: int, num_pairs: int, steps: int, seed: int, samples: int = 0) -> dict[str, float]:
    """Fact accuracy of the bare base and after local LoRA, on test pairs whose facts the shop did teach.

    Facts that never occur in the training pairs are reported apart: answered right more often
    than by chance they would be a leak.
    """
    model = PeftEngine(
        load_base(folder), Lora(lora_dropout=0.0), TokenLimits(max_prompt_tokens=256, max_reply_tokens=128)
    )
    rows: list[tuple[str, bool, bool]] = []
    seconds = 0.0
    corpus = SimulatorCorpus(seed=seed, num_shops=shops)
    for shop_id in corpus.shop_ids():
        shop, truth = corpus.tell(shop_id)
        test = [pair for pair in shop.test if truth[pair.pair_id].facts]
        training = (*shop.history, *shop.stream)[:num_pairs]
        taught = {fact.key for pair in training for fact in truth[pair.pair_id].facts}
        started = time.monotonic()
        adapter = tune(model, shop, num_pairs, steps, seed)
        seconds += time.monotonic() - started
        before, after = answer(model, None, test), answer(model, adapter, test)
        for pair, base_reply, reply in zip(test, before, after, strict=True):
            facts = truth[pair.pair_id].facts
            seen = all(fact.key in taught for fact in facts)
            scope = "platform" if all(fact.scope == "platform" for fact in facts) else "shop"
            rows.append(
                (
                    f"{scope}, {'seen' if seen else 'never seen'}",
                    states_all(base_reply, facts),
                    states_all(reply, facts),
                )
            )
        for pair, reply in list(zip(test, after, strict=True))[:samples]:
            right = states_all(reply, truth[pair.pair_id].facts)
            print(
                json.dumps({"q": pair.query, "human": pair.reply, "tuned": reply, "right": right}, ensure_ascii=False)
            )
    figures: dict[str, float] = {}
    for kind in sorted({row[0] for row in rows}):
        chosen = [row for row in rows if row[0] == kind]
        figures[f"facts right, {kind}, base"] = sum(row[1] for row in chosen) / len(chosen)
        figures[f"facts right, {kind}, after LoRA"] = sum(row[2] for row in chosen) / len(chosen)
        figures[f"test pairs, {kind}"] = len(chosen)
    figures["LoRA seconds a shop"] = seconds / shops
    return figures


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ecc_fed/end_model/embedded")
    parser.add_argument("--shops", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--samples", type=int, default=0, help="answers to print for every shop")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    figures = probe(options.model, options.shops, options.pairs, options.steps, options.seed, options.samples)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
