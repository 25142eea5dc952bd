"""All shops' dialogues on one device: the ceiling without privacy.

Every shop is served as in any arm: its own queries, its own examples in its own prompts, the draws of its own seeds.
What differs is who learns. In each cycle every shop draws the examples that it would train on by itself, and one
adapter with one optimizer trains on all of them together, in as many steps as the shops would take altogether, at a
rate that decays over as many. However many dialogues a shop has, it has the same part in what is learned, as it has
under `local`.

Every example goes to the pool as soon as a shop has it, and stands in that shop's ledger.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from ecc_fed.core.aggregation import WHOLE, AdapterUpdate, Exchange, Shapes
from ecc_fed.core.records import (
    AdapterState,
    EgressEntry,
    EvaluationReport,
    FineTuneJob,
    OptimizerState,
    OwnExample,
    PublicSet,
    short_digest,
)
from ecc_fed.core.rows import EvaluationPhase
from ecc_fed.core.seeding import derive_seed
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.evolution.experience import as_example
from ecc_fed.evolution.loop import Learned
from ecc_fed.evolution.shop_round import ShopRound
from ecc_fed.evolution.shop_state import ShopState

# The pool's name where a shop's would stand.
POOL = "all_shops"

# Who takes part in a server round, of all shops.
Present = Callable[[int], Sequence[str]]


class PooledDevices:
    """Satisfies `core.protocols.Device` for one node that stands for all shops.

    Their states lie in their own folders and count as finished once all of a round have been saved: a pool that was
    killed between two of them does the round again.

    Args:
        devices: of all shops.
        present: those of a round; a shop that is away is not served and teaches nothing.
    """

    def __init__(self, devices: ShopDevices, present: Present) -> None:
        self.shop_ids: tuple[str, ...] = (POOL,)
        self.base_loads = devices.base_loads
        self._devices, self._present = devices, present

    def adapter_shapes(self) -> Shapes:
        """Names and shapes of a fresh adapter."""
        return self._devices.adapter_shapes()

    def leaving(self, shop_id: str, entries: Sequence[EgressEntry]) -> None:
        """Writes down what the pool is about to tell the server: that it is done, and how many examples it had."""
        self._devices.leaving(shop_id, entries)

    def train(
        self,
        shop_id: str,
        server_round: int,
        incoming: AdapterState | None,
        exchange: Exchange = WHOLE,
        control: AdapterState | None = None,
        public: PublicSet | None = None,
    ) -> AdapterUpdate:
        """One server round of all shops that take part. Nothing comes in and nothing goes up."""
        present = tuple(self._present(server_round))
        self._devices.side_by_side(present, "train", server_round)
        after = [self._devices.finished(each, server_round) for each in present]
        done = [state for state in after if state is not None]
        if len(done) < len(present):
            done = self._round(present, server_round)
        return AdapterUpdate(shop_id, server_round, {}, sum(state.num_examples for state in done))

    def _round(self, present: Sequence[str], server_round: int) -> list[ShopState]:
        newest = self._newest(server_round)
        works = []
        for shop_id in present:
            before = self._devices.before(shop_id, server_round, None)
            pool = before if newest is None else newest
            # A shop that was away goes on from what the others have learned.
            before = replace(before, optimizer=pool.optimizer)
            works.append(self._devices.begin(before, server_round, pool.adapter))
            if not before.server_round:
                _note(works[-1], server_round, [as_example(pair) for pair in works[-1].experience.natural])
        adapter, optimizer = works[0].adapter, works[0].optimizer
        for cycle in range(self._devices.settings.evolution.cycles):
            for work in works:
                known = set(work.experience.known())
                work.serve(cycle)
                _note(work, server_round, [each for each in work.experience.known() if each not in known])
            learned = self._learn(works, adapter, optimizer)
            adapter, optimizer = learned[0].adapter, learned[0].optimizer
            for work, own in zip(works, learned, strict=True):
                work.take(own)
        return [self._devices.end(work) for work in works]

    def _learn(
        self,
        works: Sequence[ShopRound],
        adapter: AdapterState,
        optimizer: OptimizerState | None,
    ) -> list[Learned]:
        """What every shop has of one training on all their lessons: the adapter, and its part of the steps."""
        started = time.perf_counter()
        settings = self._devices.settings
        lessons = [work.lesson() for work in works]
        teaching = [place for place, own in enumerate(lessons) if own]
        if not teaching:
            return [Learned(adapter, optimizer, (), 0, 0.0) for _ in works]
        tuning = replace(settings.fine_tune, steps=settings.fine_tune.steps * len(teaching))
        job = FineTuneJob(
            adapter,
            optimizer,
            tuple(example for own in lessons for example in own),
            tuning,
            derive_seed(works[teaching[0]].cycle_seed, "fine_tune"),  # so that the pool of one shop is that shop
            decay_steps=settings.decay_steps * len(self._devices.shop_ids),
        )
        result = self._devices.services.end_model.fine_tune([job])[0]
        seconds = (time.perf_counter() - started) / len(works)
        return [
            Learned(
                result.adapter,
                result.optimizer,
                result.losses[teaching.index(place) :: len(teaching)] if own else (),
                len(own),
                seconds,
            )
            for place, own in enumerate(lessons)
        ]

    def _newest(self, before_round: int) -> ShopState | None:
        """The state of a shop that took part in the last round before the one given; None before any."""
        states = [self._devices.before(shop_id, before_round, None) for shop_id in self._devices.shop_ids]
        last = max(states, key=lambda state: state.server_round)
        return last if last.server_round else None

    def evaluate(
        self, shop_id: str, server_round: int, incoming: AdapterState | None, phase: EvaluationPhase
    ) -> EvaluationReport:
        """Every shop's own test, by the one adapter."""
        newest = self._newest(server_round + 1) if phase == "final" else None
        count = 0
        for member in self._devices.shop_ids:
            self._devices.side_by_side((member,), phase, server_round)
            adapter = None if newest is None else newest.adapter
            count += self._devices.evaluate(member, server_round, adapter, phase).num_examples or 0
        return EvaluationReport(count)


def _note(work: ShopRound, server_round: int, examples: Sequence[OwnExample]) -> None:
    texts = [text for each in examples for text in (*(turn.text for turn in each.prompt), each.reply)]
    if texts:
        sent = [text.encode("utf-8", "replace") for text in texts]
        size, digest = sum(map(len, sent)), short_digest(*sent)
        work.note(EgressEntry(work.shop.shop_id, server_round, "pool", "up", "training_examples", size, digest=digest))
