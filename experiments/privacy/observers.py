"""Who sees one round, every round, or has friends among the shops: was this text learned?

    python -m experiments.privacy.observers [--shops 20] [--rounds 4] [--epsilon 8] [--seed 0]

Shops train and an aggregator averages, round by round, as the program does it: 50 AdamW steps on 60 pairs a round. Of
every shop 60 learned texts and 60 of its others are told apart by how much likelier the shop's update made each of
them than the adapter that it had been sent: in the first round, in the last, or summed over all.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecc_fed.assembly.build import EMBEDDED
from ecc_fed.core.gradient_rule import GradientRule
from ecc_fed.core.protocols import EndModel
from ecc_fed.core.records import AdapterState, Example
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Units, area_under_curve, bootstrap_mean
from ecc_fed.corpus.simulator import SimulatorCorpus
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.engines.opening import open_engine
from ecc_fed.end_model.settings import EndModelSettings
from ecc_fed.reporting.formatting import interval_text, value_text
from ecc_fed.runs.attacking.victims import likelihoods
from experiments.paper.table6 import markdown
from experiments.privacy.rounds import SHOPS_IN_A_SUM, WORKS, Draw, draw, noisy, summed, updates

WORK = WORKS["round"]
ALONE, SUM, COLLUDING = (
    "the shop's update",
    f"the mean of {SHOPS_IN_A_SUM}",
    f"that, and the other {SHOPS_IN_A_SUM - 1}",
)
WHEN = ("first round", "last round", "all rounds")
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Round:
    """What the server sent, and what every shop made of it (its update: adapter less what was sent)."""

    start: AdapterState
    found: Sequence[AdapterState]


def federation(
    model: EndModel,
    start: AdapterState,
    shops: Sequence[Draw],
    rounds: int,
    seed: int,
    rule: GradientRule | None = None,
) -> list[Round]:
    """So many rounds of FedAvg over all shops, each of which counts alike."""
    played = []
    for number in range(rounds):
        found = updates(model, start, shops, WORK, derive_seed(seed, "round", number), rule=rule)
        played.append(Round(start, found))
        start = added(start, summed(found, 0, len(found)))
    return played


def added(start: AdapterState, update: AdapterState) -> AdapterState:
    """The adapter that an update makes of the start."""
    return {name: (start[name] + update[name]).astype(start[name].dtype) for name in start}


def seen(one: Round, place: int, how: str) -> AdapterState:
    """The update that an observer of one kind holds of the shop at `place`; friends' own updates are taken out."""
    if how == ALONE:
        return one.found[place]
    mean = summed(one.found, place, SHOPS_IN_A_SUM)
    if how == SUM:
        return mean
    friends = [one.found[(place + offset) % len(one.found)] for offset in range(1, SHOPS_IN_A_SUM)]
    return {name: SHOPS_IN_A_SUM * mean[name] - np.sum([each[name] for each in friends], axis=0) for name in mean}


def scores(model: EndModel, one: Round, place: int, how: str, texts: Sequence[Example], before: Scores) -> Scores:
    """For each text by how many nats the update made it likelier than `before` (nats under what was sent)."""
    adapter = added(one.start, seen(one, place, how))
    return before - np.array([each.nll_nats for each in likelihoods(model, adapter, texts)])


def areas(model: EndModel, played: Sequence[Round], shops: Sequence[Draw]) -> dict[tuple[str, str], list[float]]:
    """By observer and by what it saw, the AUC for every shop."""
    found: dict[tuple[str, str], list[float]] = {}
    for place, shop in enumerate(shops):
        texts = (*shop.inside, *shop.outside)
        members = [True] * len(shop.inside) + [False] * len(shop.outside)
        sent = [np.array([each.nll_nats for each in likelihoods(model, one.start, texts)]) for one in played]
        for how in (ALONE, SUM, COLLUDING):
            each = [scores(model, one, place, how, texts, before) for one, before in zip(played, sent, strict=True)]
            for when, score in zip(WHEN, (each[0], each[-1], np.sum(each, axis=0)), strict=True):
                area = area_under_curve(list(score), members)
                if area is not None:
                    found.setdefault((how, when), []).append(area)
    return found


def table(by_training: dict[str, dict[tuple[str, str], list[float]]], seed: int) -> str:
    """A row an observer and way to train, a column for what it saw."""
    rows = []
    for training, found in by_training.items():
        for how in (ALONE, SUM, COLLUDING):
            cells = []
            for when in WHEN:
                values = found[how, when]
                mean = bootstrap_mean(values, Units.single(len(values)), derive_seed(seed, training, how, when))
                cells.append("" if mean is None else f"{value_text(mean.mean, 'score')} {interval_text(mean, 'score')}")
            rows.append([how, training, *cells])
    return markdown(("Sees", "Training", *(f"AUC, {when}" for when in WHEN)), rows)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shops", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--epsilon", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.shops < SHOPS_IN_A_SUM or given.rounds < 1:
        parser.error(f"--shops from {SHOPS_IN_A_SUM}, and --rounds from 1")
    started = time.process_time()
    corpus = SimulatorCorpus(num_shops=given.shops, platform_share=0.5, seed=derive_seed(given.seed, "corpus"))
    settings = EndModelSettings(path=str(EMBEDDED))
    model = open_engine(settings, Lora(rank=8, lora_dropout=0.0))
    # Any length will do here.
    lengths = dict.fromkeys(
        (Example(pair.prompt, pair.reply) for shop in corpus.shops() for pair in (*shop.history, *shop.stream)), 1
    )
    shops = [draw(shop, WORK, lengths, given.seed) for shop in corpus.shops()]
    start = model.new_adapter(derive_seed(given.seed, "adapter"))
    rules = {"plain": None, f"epsilon {given.epsilon:g}": noisy(given.epsilon, WORK.pairs)}
    found = {
        name: areas(model, federation(model, start, shops, given.rounds, given.seed, rule), shops)
        for name, rule in rules.items()
    }
    print(table(found, given.seed))
    print(f"\n{given.shops} shops, {given.rounds} rounds; {time.process_time() - started:.0f} s of one core")


if __name__ == "__main__":
    main()
