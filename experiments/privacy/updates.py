"""What one update tells the aggregator that receives it: tokens, and whether a text was in it.

    python -m experiments.privacy.updates [--draws 20] [--works step steps batch round] [--rank 8] [--epsilon 8]
                                          [--seed 0]

Every draw is a shop of its own. The aggregator knows the base, the adapter that it sent, and texts of other shops. Each
attack is also made on an update that never saw the shop's texts (control): what it gets there is what all texts share.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ecc_fed.assembly.build import EMBEDDED
from ecc_fed.core.protocols import EndModel
from ecc_fed.core.records import AdapterState, Example
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Units, bootstrap_mean
from ecc_fed.corpus.simulator import SimulatorCorpus
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.engines.opening import open_engine
from ecc_fed.end_model.settings import EndModelSettings
from ecc_fed.end_model.training.record_privacy import RecordPrivacy
from ecc_fed.reporting.formatting import MISSING, interval_text, value_text
from experiments.paper.table6 import markdown
from experiments.privacy.aggregator import ATTACKS, TOKENS_BY_A, Aggregator, Figures
from experiments.privacy.inside import Inside
from experiments.privacy.rounds import (
    FROZEN_A,
    SHOPS_IN_A_SUM,
    WORKS,
    Draw,
    Work,
    averaged_start,
    draw,
    noisy,
    summed,
    updates,
)

_STARTERS = 3
# From a draw's place, and whether its shop took part, to what the aggregator sees.
Seen = Callable[[int, bool], AdapterState]


@dataclass(frozen=True)
class World:
    """Who attacks whom: the server's side, the model that trains, the adapter of the start, and the shops' draws."""

    aggregator: Aggregator
    model: EndModel
    start: AdapterState
    private: RecordPrivacy
    seed: int


def defences(world: World, draws: Sequence[Draw], work: Work) -> dict[str, Seen]:
    """What the aggregator sees of one work, by what stands against it."""

    def made(**how: object) -> list[AdapterState]:
        return updates(world.model, world.start, draws, work, world.seed, **how)  # type: ignore[arg-type]

    def alone(found: Sequence[AdapterState]) -> Seen:
        return lambda place, with_it: found[place if with_it else (place + 1) % len(found)]

    plain = made()
    return {
        "none": alone(plain),
        f"mean of {SHOPS_IN_A_SUM} alone": lambda place, with_it: summed(plain, place, SHOPS_IN_A_SUM, with_it),
        "frozen A": alone(made(trained=FROZEN_A)),
        "record-level DP": alone(made(rule=world.private)),
    }


def attacked(
    world: World, draws: Sequence[Draw], seen: Mapping[str, Seen]
) -> dict[tuple[str, str, bool], list[Figures]]:
    """By defence, attack, and whether the shop took part, the figures of all draws."""
    found: dict[tuple[str, str, bool], list[Figures]] = {}
    for place, each in enumerate(draws):
        target = world.aggregator.target(each)
        for defence, update_of in seen.items():
            for with_it in (True, False):
                for attack, figures in world.aggregator.attack(update_of(place, with_it), target).items():
                    found.setdefault((defence, attack, with_it), []).append(figures)
    return found


def _text(values: Sequence[float | None], unit: str, seed: int) -> str:
    known = [value for value in values if value is not None]
    mean = bootstrap_mean(known, Units.single(len(known)), seed) if known else None
    if mean is None:
        return MISSING
    return f"{value_text(mean.mean, unit)} {interval_text(mean, unit)}".strip()


HEAD = ("Attack", "Defence", "AUC", "AUC, control", "Found among as many", "Found, control", "Found for certain; right")


def table(found: Mapping[tuple[str, str, bool], Sequence[Figures]], seed: int) -> str:
    """A row an attack and defence: means over draws with 95% intervals."""
    rows = []
    for attack in ATTACKS:
        for defence in dict.fromkeys(key[0] for key in found):
            inside, outside = found[defence, attack, True], found[defence, attack, False]
            of = derive_seed(seed, "interval", defence, attack)
            cells = [_text([each.auc for each in part], "score", of) for part in (inside, outside)]
            cells += [_text([each.recall for each in part], "share", of) for part in (inside, outside)]
            certain = [
                _text([getattr(each, name) for each in inside], "share", of) for name in ("certain", "precision")
            ]
            cells.append("; ".join(certain) if attack == TOKENS_BY_A else MISSING)
            rows.append([attack, defence, *cells])
    return markdown(HEAD, rows)


def main() -> None:
    """Prints a table a work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--works", nargs="+", choices=tuple(WORKS), default=tuple(WORKS))
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--epsilon", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.draws <= SHOPS_IN_A_SUM:
        parser.error(f"--draws {given.draws}: a mean without a shop takes more than {SHOPS_IN_A_SUM}")
    started = time.process_time()
    seed = derive_seed(given.seed, "corpus")
    shops = SimulatorCorpus(num_shops=given.draws + _STARTERS, platform_share=0.5, seed=seed).shops()
    starters, others = shops[:_STARTERS], shops[_STARTERS:]
    settings, lora = EndModelSettings(path=str(EMBEDDED)), Lora(rank=given.rank, lora_dropout=0.0)
    model = open_engine(settings, lora)
    start = averaged_start(model, starters, given.seed)
    inside = Inside(settings.path, start, lora.scale, settings)
    own_texts = [Example(pair.prompt, pair.reply) for shop in starters for pair in shop.history]
    private = noisy(given.epsilon, WORKS["round"].pairs)
    world = World(Aggregator(inside, start, own_texts), model, start, private, given.seed)
    lengths = {
        each: len(inside.encode(each).ids)
        for shop in others
        for each in (Example(pair.prompt, pair.reply) for pair in (*shop.history, *shop.stream))
    }
    for work in (WORKS[name] for name in given.works):
        draws = [draw(shop, work, lengths, given.seed) for shop in others]
        found = attacked(world, draws, defences(world, draws, work))
        print(f"\n{work.name}\n\n{table(found, given.seed)}", flush=True)
    print(
        f"{given.draws} draws, rank {given.rank}; noise {private.noise_multiplier:.2f} for epsilon {given.epsilon:g} "
        f"over a run; {time.process_time() - started:.0f} s of one core"
    )


if __name__ == "__main__":
    main()
