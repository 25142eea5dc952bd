"""The server's round of secure aggregation: four stages, of which only the third has shops train.

The server holds public keys, ciphertexts, masked numbers, and a share of one secret of every shop; of these it makes
the sum. A shop that fails in a stage is left out of the next ones; where too few are left, the round is skipped and
the server's adapter stays as it was.

    keys     everybody who takes part gives two public keys; the graph of neighbours is drawn over those who did
    shares   each gives every neighbour a share of its secrets, in a message that the neighbour alone can read
    train    each trains, and sends its update under its own mask and those with the neighbours that are still there
    unmask   each who did gives a share of every neighbour's own mask, or of the mask key of one that sent nothing
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message

from ecc_fed.core.aggregation import AdapterUpdate
from ecc_fed.core.records import EgressEntry
from ecc_fed.core.seeding import derive_rng
from ecc_fed.federation.flower.strategy import AdapterStrategy
from ecc_fed.federation.results import ShopFailure
from ecc_fed.federation.round_trip import Server, round_trip
from ecc_fed.federation.secure_aggregation import wire
from ecc_fed.federation.secure_aggregation.vectors import as_adapter, length_of
from ecc_fed.federation.wire import records
from ecc_fed.federation.wire.checks import RefusedReply, shown
from ecc_fed.federation.wire.replies import Asked
from ecc_fed.privacy.secure_aggregation.graph import neighbourhoods
from ecc_fed.privacy.secure_aggregation.keys import TAG_BYTES
from ecc_fed.privacy.secure_aggregation.messages import Ending, Inbox, PublicKeys, Roster, Stage
from ecc_fed.privacy.secure_aggregation.participant import shares_by_place
from ecc_fed.privacy.secure_aggregation.quantisation import HEAD, Sum, UnreadableSum
from ecc_fed.privacy.secure_aggregation.settings import SecureAggregationSettings
from ecc_fed.privacy.secure_aggregation.shamir import SHARE_BYTES
from ecc_fed.privacy.secure_aggregation.unmasking import NotUnmasked, added, too_few_left, unmasked

Answer = TypeVar("Answer")

# What bears the name of no shop: it stands for all of them.
EVERYONE = "all"


class _Halted(Exception):
    """The round cannot be finished; the text says in which stage, and why."""


class _Round:
    """One round, as far as it has come: every failure, every byte, and what the stages gave."""

    def __init__(self, server: Server, strategy: AdapterStrategy, messages: Sequence[Message], server_round: int):
        secure = strategy.plan.secure
        assert secure is not None, "the plan masks"
        self.secure: SecureAggregationSettings = secure
        self.server, self.strategy, self.server_round = server, strategy, server_round
        self.session = f"{strategy.run}-{server_round}"
        self.trains = {server.shops[message.metadata.dst_node_id]: message for message in messages}
        self.nodes = {shop_id: message.metadata.dst_node_id for shop_id, message in self.trains.items()}
        self.failures: list[ShopFailure] = []
        self.traffic: list[EgressEntry] = []
        # By place, those who gave keys.
        self.shops: tuple[str, ...] = ()
        self.neighbours: list[tuple[int, ...]] = []
        self.threshold = 0

    def ask(
        self, stage: Stage, messages: Mapping[str, Message], read: Callable[[Message, Asked], Answer]
    ) -> dict[str, Answer]:
        """What each shop answers, in the messages' order; whoever fails or breaks the rules is left out, and told."""
        trip = round_trip(self.server, messages.values(), "train", self.server_round)
        self.traffic += trip.traffic
        self.failures += [replace(each, reason=f"stage {stage}: {each.reason}") for each in trip.failures]
        found: dict[str, Answer] = {}
        for message in trip.replies:
            shop_id = self.server.shops[message.metadata.src_node_id]
            asked = Asked(self.strategy.run, stage, self.server_round, shop_id)
            try:
                found[shop_id] = read(message, asked)
            except RefusedReply as error:
                self._refuse(shop_id, stage, str(error))
            except Exception as error:  # whatever foreign bytes bring about
                self._refuse(shop_id, stage, f"the reply cannot be read: {type(error).__name__}: {shown(str(error))}")
        return found

    def _refuse(self, shop_id: str, stage: Stage, reason: str) -> None:
        self.failures.append(ShopFailure(shop_id, self.server_round, "train", "refused", f"stage {stage}: {reason}"))

    def query(self, stage: Stage, shop_id: str, request: ConfigRecord) -> Message:
        """A stage's message to a shop; the stage train has the strategy's own."""
        config = ConfigRecord({records.PHASE: stage, records.SERVER_ROUND: self.server_round})
        content = records.instructions(ArrayRecord(), config, self.strategy.run)
        content[records.SECURE] = request
        return Message(content, self.nodes[shop_id], wire.QUERIES[stage], group_id=str(self.server_round))

    def check(self, stage: Stage, there: Sequence[int]) -> None:
        """Goes on only where those who are left could still be unmasked.

        Raises:
            _Halted: they could not.
        """
        if len(there) < self.secure.min_shops:
            raise _Halted(
                f"secure aggregation stopped at stage {stage}: {len(there)} of {len(self.trains)} shops are left, and "
                f"secure_aggregation.min_shops={self.secure.min_shops}"
            )
        why = too_few_left(self.neighbours, there, self.threshold)
        if why is not None:
            raise _Halted(f"secure aggregation stopped at stage {stage}: {why}")

    def keys(self) -> dict[int, PublicKeys]:
        """Stage keys, and the graph: the keys by place."""
        request = wire.keys_request(self.session)
        messages = {shop_id: self.query("keys", shop_id, request) for shop_id in self.trains}
        found = self.ask("keys", messages, lambda message, asked: wire.read_keys(message.content, asked))
        self.shops = tuple(found)
        count, seed = len(found), self.strategy.plan.participation.seed
        degree = self.secure.neighbours_of(count) if count else 0
        rng = derive_rng(seed, "secure_aggregation_graph", self.server_round)
        self.neighbours = neighbourhoods(count, degree, rng)
        self.threshold = self.secure.threshold_of(degree + 1)
        self.check("keys", range(count))
        return dict(enumerate(found.values()))

    def shares(self, keys: Mapping[int, PublicKeys]) -> dict[int, dict[int, bytes]]:
        """Stage shares: by sender's place, the ciphertext for each of its neighbours."""
        messages = {}
        for place, shop_id in enumerate(self.shops):
            circle = {other: keys[other] for other in (place, *self.neighbours[place])}
            roster = Roster(self.session, place, self.threshold, circle)
            messages[shop_id] = self.query("shares", shop_id, wire.shares_request(roster))

        def read(message: Message, asked: Asked) -> dict[int, bytes]:
            found = wire.read_shares(message.content, asked, 2 * SHARE_BYTES + TAG_BYTES)
            if tuple(found) != self.neighbours[self.shops.index(asked.shop_id)]:
                raise RefusedReply("its shares are not for its neighbours")
            return found

        return self._by_place(self.ask("shares", messages, read))

    def updates(self, shares: Mapping[int, Mapping[int, bytes]]) -> dict[int, np.ndarray]:
        """Stage train: by place, the masked update, packed."""
        plan = self.strategy.plan
        quantisation = plan.quantisation(len(self.server.shops))
        messages = {}
        for place in shares:
            came = {other: shares[other][place] for other in self.neighbours[place] if other in shares}
            message = self.trains[self.shops[place]]
            message.content[records.SECURE] = wire.train_request(Inbox(self.session, came), quantisation)
            messages[self.shops[place]] = message
        length = HEAD + length_of(self.strategy.travelling(self.server_round))

        def read(message: Message, asked: Asked) -> np.ndarray:
            return wire.read_masked(message.content, asked, length * quantisation.modulus_bytes)

        return self._by_place(self.ask("train", messages, read))

    def revealed(self, sent: Sequence[int], there: Sequence[int]) -> dict[int, dict[int, bytes]]:
        """Stage unmask: by place, the shares that it gave of its neighbours' secrets.

        Args:
            sent: places that gave out shares.
            there: of these, the places whose update came.
        """
        endings = {}
        for place in there:
            around = sorted((place, *(other for other in self.neighbours[place] if other in sent)))
            survivors = tuple(other for other in around if other in there)
            endings[self.shops[place]] = Ending(self.session, survivors, tuple(o for o in around if o not in there))
        messages = {shop: self.query("unmask", shop, wire.unmask_request(each)) for shop, each in endings.items()}

        def read(message: Message, asked: Asked) -> dict[int, bytes]:
            found, ending = wire.read_shares(message.content, asked, SHARE_BYTES), endings[asked.shop_id]
            if not found.keys() <= {*ending.survivors, *ending.dropped}:
                raise RefusedReply("it reveals a share of no neighbour")
            return found

        return self._by_place(self.ask("unmask", messages, read))

    def _by_place(self, found: Mapping[str, Answer]) -> dict[int, Answer]:
        return {place: found[shop_id] for place, shop_id in enumerate(self.shops) if shop_id in found}

    def play(self) -> tuple[tuple[str, ...], Sum]:
        """All stages: whose updates are in the sum, and the sum.

        Raises:
            _Halted: it cannot be had.
        """
        keys = self.keys()
        shares = self.shares(keys)
        self.check("shares", tuple(shares))
        packed = self.updates(shares)
        there = tuple(packed)
        self.check("train", there)
        dropped = tuple(place for place in shares if place not in packed)
        held = shares_by_place(self.revealed(tuple(shares), there))
        quantisation = self.strategy.plan.quantisation(len(self.server.shops))
        try:
            total = added(quantisation.unpack(each) for each in packed.values())
            bare = unmasked(
                total, self.session, there, dropped, self.neighbours, keys, self.threshold, held, quantisation
            )
            return tuple(self.shops[place] for place in there), quantisation.decode(bare, len(there))
        except NotUnmasked as error:
            raise _Halted(f"secure aggregation stopped at stage unmask: {error}") from error
        except UnreadableSum as error:
            raise _Halted(f"the sum of the updates cannot be used: {error}") from error


def secure_round(
    server: Server, strategy: AdapterStrategy, messages: Sequence[Message], server_round: int
) -> tuple[tuple[ShopFailure, ...], tuple[EgressEntry, ...]]:
    """Plays the round and hands the strategy its one update: who failed, and every byte.

    Args:
        server: the grid and its shops.
        strategy: what goes down, and what becomes of the mean.
        messages: of the stage train, for every shop that takes part, as the strategy configured them.
        server_round: which.

    Raises:
        ConfigError: the sum of so many shops does not fit into the modulus; or an update the aggregator cannot take.
        FederationError: the aggregator fails.
        WriteError: a process of the run's own found the disk full.
    """
    played = _Round(server, strategy, messages, server_round)
    try:
        shops, found = played.play()
    except _Halted as halted:
        strategy.aggregate_sum(server_round, (), None, str(halted))
    else:
        strategy.aggregate_sum(server_round, shops, _update(strategy, server_round, found))
    return tuple(played.failures), tuple(played.traffic)


def _update(strategy: AdapterStrategy, server_round: int, found: Sum) -> AdapterUpdate | None:
    """The one that stands for all; None where no shop counts."""
    if found.mean is None:
        return None
    adapter = as_adapter(found.mean, strategy.travelling(server_round))
    update = AdapterUpdate(EVERYONE, server_round, adapter, found.num_examples)
    return update if update.rank is None else replace(update, scale=strategy.plan.limits.scale_at(update.rank))
