"""The shops of one host: each call is about one shop, and leaves that shop's state on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ecc_fed.core.aggregation import (
    EVERYTHING,
    WHOLE,
    AdapterUpdate,
    Exchange,
    Patterns,
    Shapes,
    adapter_rank,
    select,
)
from ecc_fed.core.records import (
    AdapterState,
    EgressEntry,
    EvaluationReport,
    FineTuneJob,
    Pair,
    PseudoLabel,
    Shop,
)
from ecc_fed.core.rows import EvaluationPhase, SampleRow
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.core.seeding import adapter_seed, derive_rng, derive_seed
from ecc_fed.core.truth import ShopTruth
from ecc_fed.end_model.adapters.tensors import of_rank
from ecc_fed.evolution.batch import Batch, batch_of
from ecc_fed.evolution.downlink import fitted, received
from ecc_fed.evolution.evaluation import evaluate_pairs
from ecc_fed.evolution.evaluation_files import load_evaluation, save_evaluation
from ecc_fed.evolution.experience import Experience
from ecc_fed.evolution.loop import learn, serve
from ecc_fed.evolution.metric_rows import metric_row
from ecc_fed.evolution.owner import Owner, owner_of
from ecc_fed.evolution.routing.router import Outcome
from ecc_fed.evolution.settings import LoopSettings, Services
from ecc_fed.evolution.shop_state import (
    ShopState,
    WriteAdapter,
    drop_old_rounds,
    finished_rounds,
    load_state,
    newest_state,
    save_state,
)
from ecc_fed.evolution.spending import drop_saved_attempts
from ecc_fed.evolution.trial import trial_job
from ecc_fed.evolution.uplink import Uplink
from ecc_fed.evolution.variates import RoundVariate
from ecc_fed.evolution.warm_start import start_warm, warm_start_row
from ecc_fed.teacher.gateway.budget import Spending
from ecc_fed.teacher.gateway.journal import OPEN_CALLS


def human_answered(shop: Shop, human_share: float, seed: int) -> frozenset[str]:
    """Ids of the streamed pairs that a human agent answered as well, the same in every arm."""
    draws = derive_rng(seed, "human_answered", shop.shop_id).random(len(shop.stream))
    return frozenset(pair.pair_id for pair, draw in zip(shop.stream, draws, strict=True) if draw < human_share)


def natural_pairs(shop: Shop, human_share: float, seed: int) -> tuple[Pair, ...]:
    """All pairs of the shop that its device may learn from as they are, in time order."""
    human = human_answered(shop, human_share, seed)
    return (*shop.history, *(pair for pair in shop.stream if pair.pair_id in human))


def stream_part(shop: Shop, part: int, num_parts: int) -> tuple[Pair, ...]:
    """Part `part` (from 0) of the stream cut into `num_parts` consecutive, nearly equal parts."""
    bounds = np.linspace(0, len(shop.stream), num_parts + 1).round().astype(int)
    return shop.stream[bounds[part] : bounds[part + 1]]


class ShopDevices:
    """Satisfies `core.protocols.Device` for the shops of one host.

    What a shop has finished in this run is not done again: a round is answered from the states before and
    after it, an evaluation from its files. So a server that was killed may ask again. What shops have done side by
    side is finished once all of them have saved it.

    Args:
        shops: this host's shops.
        truth: what is true of each of these shops' pairs; played customers and the evaluation see it. A shop
            of which nothing is known is not in it.
        services: resident models and gateway; whoever runs shops side by side may put others in their
            place, in which the shops' calls meet.
        settings: the loop.
        directory: the run's; states go under `shops/`.
        write_adapter: writes an adapter folder in peft's format.
        seed: the run's seed.
        base_loads: how often this process has loaded a base so far.
        generated: by shop, the cloud's replies that it learns from before its first round; None is no warm start.
        uplink: how updates leave.
        run_id: the run's; states of another are refused.
        ranks: by shop, the rank of its adapter, where that is not the end model's.
    """

    def __init__(
        self,
        shops: Sequence[Shop],
        truth: Mapping[str, ShopTruth],
        services: Services,
        settings: LoopSettings,
        directory: RunDirectory,
        write_adapter: WriteAdapter,
        seed: int,
        base_loads: int = 1,
        generated: Mapping[str, tuple[PseudoLabel, ...]] | None = None,
        uplink: Uplink = Uplink(),  # noqa: B008 (frozen)
        run_id: str = "",
        ranks: Mapping[str, int] | None = None,
    ) -> None:
        self.base_loads = base_loads
        self.shop_ids = tuple(shop.shop_id for shop in shops)
        self._shops = {shop.shop_id: shop for shop in shops}
        self._truth = truth
        self.services = services
        self._settings = settings
        self._directory = directory
        self._write_adapter = write_adapter
        self._seed = seed
        self._generated = generated
        self._uplink = uplink
        self._run_id = run_id
        self._ranks = ranks or {}
        self._owners: dict[str, Owner] = {}
        # By shop: the round before which its state was wanted, and the state.
        self._ahead: dict[str, tuple[int, ShopState | None]] = {}
        self._batch = Batch()

    def trial_job(self) -> FineTuneJob | None:
        """One step on the longest pairs of all shops, to measure memory by. None if nothing is fine-tuned."""
        pairs = [pair for shop in self._shops.values() for pair in (*shop.history, *shop.stream)]
        labels = [label for rows in (self._generated or {}).values() for label in rows]
        return trial_job([*pairs, *labels], self._settings, self.services, self._seed)

    def adapter_shapes(self) -> Shapes:
        """Names and shapes of a fresh adapter."""
        return {name: tensor.shape for name, tensor in self.services.end_model.new_adapter(0).items()}

    def side_by_side(self, shop_ids: Sequence[str], phase: str, server_round: int) -> None:
        """These shops, in their order, are about to do this work together; `phase` is "train" or an evaluation's."""
        folders = {shop_id: self._directory.shop(shop_id) for shop_id in shop_ids}
        self._batch = batch_of(shop_ids, folders, phase, server_round)

    def read_ahead(self, before_round: Mapping[str, int]) -> None:
        """Reads the states from which shops are about to go on, each by its newest round before the one given."""
        for shop_id, before in before_round.items():
            # What cannot be read is read again in the shop's own call, which tells why.
            with contextlib.suppress(Exception):
                folder, owner = self._directory.shop(shop_id), self._owner(self._shops[shop_id])
                self._ahead[shop_id] = before, newest_state(folder, before, owner)

    def _owner(self, shop: Shop) -> Owner:
        """Made once: it goes through all the shop's dialogues."""
        if shop.shop_id not in self._owners:
            self._owners[shop.shop_id] = owner_of(shop, self._run_id)
        return self._owners[shop.shop_id]

    def _state(
        self,
        shop: Shop,
        server_round: int,
        incoming: AdapterState | None,
        anew: bool = True,
        trained: Patterns = EVERYTHING,
    ) -> ShopState:
        """The shop before `server_round`; a round that it missed leaves it where it was.

        With `anew` the round's work is done again from its beginning, the warm start included. A shop without any
        state starts afresh, and warm where there is a warm start and no `incoming` adapter to go on from; the warm
        start moves the `trained` tensors alone.
        """
        before, state = self._ahead.pop(shop.shop_id, (None, None))
        if before != server_round:
            state = newest_state(self._directory.shop(shop.shop_id), server_round, self._owner(shop))
        if state is not None and not (anew and state.warm_before == server_round):
            return state
        fresh = self.services.end_model.new_adapter(adapter_seed(self._seed))
        adapter = of_rank(fresh, self._ranks.get(shop.shop_id))
        state = ShopState(
            shop.shop_id,
            0,
            adapter,
            natural_ids=tuple(pair.pair_id for pair in shop.history),
            run_id=self._run_id,
            dialogues_sha256=self._owner(shop).dialogues_sha256,
        )
        if self._generated is None or incoming is not None:
            return state
        seed = derive_seed(self._seed, "warm_start", shop.shop_id)
        generated = self._generated[shop.shop_id]
        learned = start_warm(shop, adapter, generated, self._settings, self.services, seed, trained)
        rows = (warm_start_row(shop.shop_id, learned),)
        state = replace(state, adapter=learned.adapter, metrics=rows, warm_before=server_round)
        save_state(self._directory.shop(shop.shop_id), state, self._write_adapter)
        return state

    def train(
        self,
        shop_id: str,
        server_round: int,
        incoming: AdapterState | None,
        exchange: Exchange = WHOLE,
        control: AdapterState | None = None,
    ) -> AdapterUpdate:
        """One server round: `cycles` cycles over this round's parts of the stream."""
        shop, folder = self._shops[shop_id], self._directory.shop(shop_id)
        finished = server_round in finished_rounds(folder) and shop_id not in self._batch.again
        before = self._state(shop, server_round, incoming, not finished, exchange.train)
        start = received(before.adapter, incoming, self._uplink.shared_rank)
        if finished:
            # A kill after the saving of the state has left these.
            drop_saved_attempts(folder)
            drop_old_rounds(folder)
            after = load_state(folder, server_round, self._owner(shop))
        else:
            turned = exchange.turns and bool(incoming)
            after = self._round(shop, server_round, before, start, exchange, turned, control)
        sent = after.control.change if exchange.control else {}
        return self._uplink.update(shop_id, server_round, start, after.adapter, after.num_examples, exchange, sent)

    def _round(
        self,
        shop: Shop,
        server_round: int,
        state: ShopState,
        start: AdapterState,
        exchange: Exchange,
        turned: bool,
        control: AdapterState | None,
    ) -> ShopState:
        """The shop after the round, as it now lies on disk.

        Args:
            shop: whose.
            server_round: which.
            state: the shop before.
            start: its adapter, with the server's tensors in their place.
            exchange: what trains.
            turned: whether the server's tensors came in other factors than before.
            control: the server's control variate.
        """
        shop_id, settings, evolution = shop.shop_id, self._settings, self._settings.evolution
        adapter, optimizer, rows, num_examples = start, fitted(state.optimizer, start, turned), list(state.metrics), 0
        truth = self._truth.get(shop_id, {})
        human = human_answered(shop, evolution.human_share, self._seed)
        experience = _experience(shop, state)
        self._look_up_relevance(shop)
        self._begin_calls(shop_id, f"train/{server_round}")
        num_parts = evolution.server_rounds * evolution.cycles
        anchor = select(start, exchange.up)
        served_count, outcomes = state.served, state.outcomes
        variate: RoundVariate | None = None
        if exchange.control:
            rank = None if self._uplink.shared_rank is None else adapter_rank(start)
            variate = RoundVariate(state.control, control, self._uplink.leaving(start, exchange), exchange, rank)
        for cycle in range(evolution.cycles):
            part = stream_part(shop, (server_round - 1) * evolution.cycles + cycle, num_parts)
            seed = derive_seed(self._seed, "cycle", shop_id, server_round, cycle)
            serving = adapter if settings.trains else None
            served = serve(part, serving, experience, truth, settings, self.services, server_round, seed, outcomes)
            outcomes = (*outcomes, *served.outcomes)
            grown = [pair for pair in part if pair.pair_id in human]
            experience = experience.grown(grown, served.pseudo_labels)
            correction = None if variate is None else variate.correction
            learned = learn(
                experience, adapter, optimizer, settings, self.services, seed, exchange.train, anchor, correction
            )
            if variate is not None and learned.gradient is not None:
                variate.add(learned, self._uplink.leaving(learned.gradient, exchange))
            adapter, optimizer = learned.adapter, learned.optimizer
            num_examples += learned.num_examples
            served_count += len(part)
            rows.append(metric_row(shop_id, server_round, cycle, served, learned, len(grown)))
        spent, egress = self._finish_calls(shop_id)
        after = replace(
            state,
            server_round=server_round,
            adapter=adapter,
            optimizer=optimizer,
            served=served_count,
            natural_ids=tuple(pair.pair_id for pair in experience.natural),
            pseudo_labels=experience.pseudo_labels,
            outcomes=outcomes,
            metrics=tuple(rows),
            egress=(*state.egress, *egress),
            num_examples=num_examples,
            spent=state.spent + spent,
            together=self._batch.of(shop_id),
            control=state.control if variate is None else variate.after(),
        )
        save_state(self._directory.shop(shop_id), after, self._write_adapter)
        return after

    def evaluate(
        self, shop_id: str, server_round: int, incoming: AdapterState | None, phase: EvaluationPhase
    ) -> EvaluationReport:
        """Scores the test pairs and keeps rows and egress beside the shop's state."""
        shop, settings = self._shops[shop_id], self._settings
        folder, owner = self._directory.shop(shop_id), self._owner(shop)
        finished = None if shop_id in self._batch.again else load_evaluation(folder, phase, owner)
        if finished is not None and finished.server_round == server_round:
            drop_saved_attempts(folder)
            return _report(finished.rows, phase)
        adapter: AdapterState | None = None
        outcomes: tuple[Outcome, ...] = ()
        experience = Experience()
        if phase == "final":
            state = self._state(shop, server_round + 1, incoming)
            outcomes, experience = state.outcomes, _experience(shop, state)
            # Never trained, and nothing sent: the bare base.
            if incoming or (settings.trains and state.server_round) or self._generated is not None:
                adapter = received(state.adapter, incoming, self._uplink.shared_rank)
        self._look_up_relevance(shop)
        self._begin_calls(shop_id, phase)
        training = natural_pairs(shop, settings.evolution.human_share, self._seed)
        evaluated = evaluate_pairs(
            shop.test,
            adapter,
            phase,
            server_round,
            training,
            self._truth.get(shop_id, {}),
            settings,
            self.services,
            derive_seed(self._seed, "evaluate", shop_id),
            outcomes,
            experience,
        )
        spent, egress = self._finish_calls(shop_id)
        together, rows = self._batch.of(shop_id), evaluated.rows
        save_evaluation(folder, phase, server_round, owner, rows, egress, spent, evaluated.calls, together)
        return _report(evaluated.rows, phase)

    def _look_up_relevance(self, shop: Shop) -> None:
        folder, seed = self._directory.shop(shop.shop_id), derive_seed(self._seed, "relevance", shop.shop_id)
        self.services.scoring.look_up(shop.shop_id, shop.history, folder, self.services.judge, seed)

    def _begin_calls(self, shop_id: str, tag: str) -> None:
        """Calls to the cloud count as the work's of this name, which may have been cut before."""
        ledger, folder = self.services.ledger, self._directory.shop(shop_id)
        ledger.drain(shop_id)  # what an aborted round left behind stands in its journal
        if shop_id not in self._batch.again:
            drop_saved_attempts(folder)
        for entry in self.services.journal.begin(shop_id, folder / OPEN_CALLS, tag):
            ledger.record(entry)

    def _finish_calls(self, shop_id: str) -> tuple[Spending, list[EgressEntry]]:
        """What the work has spent, and its ledger."""
        spent, untaken = self.services.journal.finish(shop_id)
        return spent, [*self.services.ledger.drain(shop_id), *untaken]


def _experience(shop: Shop, state: ShopState) -> Experience:
    by_id = {pair.pair_id: pair for pair in (*shop.history, *shop.stream)}
    return Experience(tuple(by_id[i] for i in state.natural_ids), state.pseudo_labels)


def _report(rows: Sequence[SampleRow], phase: EvaluationPhase) -> EvaluationReport:
    """Of the shop's own replies; others' may stand beside them."""
    return EvaluationReport(sum(row.phase == phase for row in rows))
