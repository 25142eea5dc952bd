"""The shops of one host: each call is about one shop, and leaves that shop's state on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from ecc_fed.core.aggregation import (
    EVERYTHING,
    WHOLE,
    AdapterUpdate,
    Exchange,
    Patterns,
    Shapes,
    adapter_rank,
)
from ecc_fed.core.records import (
    AdapterState,
    EgressEntry,
    EvaluationReport,
    FineTuneJob,
    PseudoLabel,
    PublicSet,
    Shop,
)
from ecc_fed.core.rows import EvaluationPhase
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.core.seeding import adapter_seed, derive_seed
from ecc_fed.core.truth import ShopTruth
from ecc_fed.end_model.adapters.tensors import of_rank
from ecc_fed.evolution.batch import Batch, batch_of
from ecc_fed.evolution.downlink import fitted, received
from ecc_fed.evolution.evaluation import evaluate_pairs
from ecc_fed.evolution.evaluation_files import load_evaluation, report_of, save_evaluation
from ecc_fed.evolution.experience import Experience
from ecc_fed.evolution.own_alpha import at_alpha
from ecc_fed.evolution.owner import Owner, owner_of
from ecc_fed.evolution.public_set import refuse_tested
from ecc_fed.evolution.routing.router import Outcome
from ecc_fed.evolution.sent import write_down
from ecc_fed.evolution.settings import LoopSettings, Services
from ecc_fed.evolution.shop_round import RoundParts, ShopRound, experience_of
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
from ecc_fed.evolution.stream import natural_pairs
from ecc_fed.evolution.trial import trial_job
from ecc_fed.evolution.uplink import Uplink
from ecc_fed.evolution.variates import RoundVariate
from ecc_fed.evolution.warm_start import start_warm, warm_start_row
from ecc_fed.privacy.secure_aggregation.participant import Masking, Participant
from ecc_fed.teacher.gateway.budget import Spending
from ecc_fed.teacher.gateway.journal import OPEN_CALLS


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
        alphas: by shop, its adapter's lora_alpha, where that is not the end model's.
        masking: how updates are hidden from the server; None: they are not.
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
        alphas: Mapping[str, float] | None = None,
        masking: Masking | None = None,
    ) -> None:
        self.base_loads = base_loads
        self.shop_ids = tuple(shop.shop_id for shop in shops)
        self._shops = {shop.shop_id: shop for shop in shops}
        self._truth = truth
        self.services = services
        self.settings = settings
        self._directory = directory
        self._write_adapter = write_adapter
        self._seed = seed
        self._generated = generated
        self._uplink = uplink
        self._run_id = run_id
        self._ranks, self._alphas = ranks or {}, alphas or {}
        self._masking = masking
        self._owners: dict[str, Owner] = {}
        # By shop: the round before which its state was wanted, and the state.
        self._ahead: dict[str, tuple[int, ShopState | None]] = {}
        self._batch = Batch()

    def trial_job(self) -> FineTuneJob | None:
        """One step on the longest pairs of all shops, to measure memory by. None if nothing is fine-tuned."""
        pairs = [pair for shop in self._shops.values() for pair in (*shop.history, *shop.stream)]
        labels = [label for rows in (self._generated or {}).values() for label in rows]
        return trial_job([*pairs, *labels], self.settings, self.services, self._seed)

    def adapter_shapes(self) -> Shapes:
        """Names and shapes of a fresh adapter."""
        return {name: tensor.shape for name, tensor in self.services.end_model.new_adapter(0).items()}

    def participant(self, shop_id: str) -> Participant | None:
        """The shop's side of secure aggregation; None where its updates leave as they are."""
        return None if self._masking is None else self._masking.participant(shop_id, self._directory.shop(shop_id))

    def leaving(self, shop_id: str, entries: Sequence[EgressEntry]) -> None:
        """Writes down what is about to go to the server."""
        write_down(self._directory.shop(shop_id), entries)

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

    def before(
        self,
        shop_id: str,
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
        shop = self._shops[shop_id]
        before, state = self._ahead.pop(shop_id, (None, None))
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
        learned = start_warm(shop, adapter, generated, self.settings, self._services(shop_id), seed, trained)
        rows = (warm_start_row(shop.shop_id, learned),)
        noisy = () if learned.noisy is None else (learned.noisy,)
        state = replace(state, adapter=learned.adapter, metrics=rows, warm_before=server_round, noisy_steps=noisy)
        save_state(self._directory.shop(shop_id), state, self._writer(shop_id))
        return state

    def train(
        self,
        shop_id: str,
        server_round: int,
        incoming: AdapterState | None,
        exchange: Exchange = WHOLE,
        control: AdapterState | None = None,
        public: PublicSet | None = None,
    ) -> AdapterUpdate:
        """One server round: `cycles` cycles over this round's parts of the stream.

        Raises:
            ConfigError: a public query is one that the shop is tested on.
        """
        if public is not None:
            refuse_tested(public.queries, self._shops[shop_id])
        after = self.finished(shop_id, server_round)
        before = self.before(shop_id, server_round, incoming, after is None, exchange.train)
        start = received(before.adapter, incoming, self._uplink.shared_rank)
        if after is None:
            work = self.begin(before, server_round, start, exchange, exchange.turns and bool(incoming), control, public)
            for cycle in range(self.settings.evolution.cycles):
                work.serve(cycle)
                work.learn()
            work.answer_public()
            after = self.end(work)
        sent = after.control.change if exchange.control else {}
        update = self._uplink.update(shop_id, server_round, start, after.adapter, after.num_examples, exchange, sent)
        return replace(update, replies=after.public_replies)

    def finished(self, shop_id: str, server_round: int) -> ShopState | None:
        """The shop after a round that it has finished; None where the round is to be done, or done again."""
        folder = self._directory.shop(shop_id)
        if server_round not in finished_rounds(folder) or shop_id in self._batch.again:
            return None
        # A kill after the saving of the state has left these.
        drop_saved_attempts(folder)
        drop_old_rounds(folder)
        return load_state(folder, server_round, self._owner(self._shops[shop_id]))

    def begin(
        self,
        before: ShopState,
        server_round: int,
        start: AdapterState,
        exchange: Exchange = WHOLE,
        turned: bool = False,
        control: AdapterState | None = None,
        public: PublicSet | None = None,
    ) -> ShopRound:
        """A round's work, which `end` ends.

        Args:
            before: the shop before it.
            server_round: which.
            start: its adapter, with the server's tensors in their place.
            exchange: what trains.
            turned: whether the server's tensors came in other factors than before.
            control: the server's control variate.
            public: what the shops teach each other.
        """
        shop = self._shops[before.shop_id]
        self._look_up_relevance(shop)
        self._begin_calls(shop.shop_id, f"train/{server_round}")
        variate: RoundVariate | None = None
        if exchange.control:
            rank = None if self._uplink.shared_rank is None else adapter_rank(start)
            leaving = self._uplink.leaving(start, exchange)
            variate = RoundVariate(before.control, control, leaving, exchange, rank)
        before = replace(before, optimizer=fitted(before.optimizer, start, turned))
        truth = self._truth.get(shop.shop_id, {})
        parts = RoundParts(self.settings, self._services(shop.shop_id), truth, self._seed, self._uplink)
        return ShopRound(shop, before, server_round, start, exchange, parts, variate, public)

    def end(self, work: ShopRound) -> ShopState:
        """The shop after the round, as it now lies on disk."""
        shop_id = work.shop.shop_id
        spent, egress = self._finish_calls(shop_id)
        after = replace(work.after(spent, egress), together=self._batch.of(shop_id))
        save_state(self._directory.shop(shop_id), after, self._writer(shop_id))
        return after

    def evaluate(
        self, shop_id: str, server_round: int, incoming: AdapterState | None, phase: EvaluationPhase
    ) -> EvaluationReport:
        """Scores the test pairs and keeps rows and egress beside the shop's state."""
        shop, settings = self._shops[shop_id], self.settings
        folder, owner = self._directory.shop(shop_id), self._owner(shop)
        finished = None if shop_id in self._batch.again else load_evaluation(folder, phase, owner)
        if finished is not None and finished.server_round == server_round:
            drop_saved_attempts(folder)
            return report_of(finished.rows, phase)
        adapter: AdapterState | None = None
        outcomes: tuple[Outcome, ...] = ()
        experience = Experience()
        if phase == "final":
            state = self.before(shop_id, server_round + 1, incoming)
            outcomes, experience = state.outcomes, experience_of(shop, state)
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
            self._services(shop_id),
            derive_seed(self._seed, "evaluate", shop_id),
            outcomes,
            experience,
        )
        spent, egress = self._finish_calls(shop_id)
        together, rows = self._batch.of(shop_id), evaluated.rows
        save_evaluation(folder, phase, server_round, owner, rows, egress, spent, evaluated.calls, together)
        return report_of(evaluated.rows, phase)

    def _services(self, shop_id: str) -> Services:
        return at_alpha(self.services, self._alphas.get(shop_id))

    def _writer(self, shop_id: str) -> WriteAdapter:
        alpha = self._alphas.get(shop_id)
        return self._write_adapter if alpha is None else partial(self._write_adapter, lora_alpha=alpha)

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
