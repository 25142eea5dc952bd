"""Messages out, replies back: who answered, who failed and why, and every byte of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from flwr.app import Message
from flwr.serverapp import Grid

from ecc_fed.core.errors import WriteError
from ecc_fed.core.records import EgressEntry
from ecc_fed.federation.results import Phase, ShopFailure
from ecc_fed.federation.wire import records
from ecc_fed.federation.wire.checks import shown
from ecc_fed.federation.wire.receiving import sort_replies
from ecc_fed.federation.wire.serialised import Known


@dataclass(frozen=True, slots=True)
class Server:
    """The shops within reach. `shops` maps Flower's node ids to shop ids, in the run's fixed order.

    `own_hosts`: the shops' processes are this run's own and write to its disk, which fills up for all at once.
    """

    grid: Grid
    shops: Mapping[int, str]
    reply_timeout_seconds: float | None = None
    own_hosts: bool = False


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """Who answered once and with content (in shop order), who failed, and every byte."""

    replies: tuple[Message, ...]
    failures: tuple[ShopFailure, ...]
    traffic: tuple[EgressEntry, ...]


_LONGEST_DETAILS = 20_000
# How a host's reply names an error of this kind (`error_reply`).
_NOT_WRITTEN = f"{WriteError.__name__}: "


def round_trip(server: Server, messages: Iterable[Message], phase: Phase, server_round: int) -> RoundTrip:
    """Sends the messages and waits for what comes.

    Raises:
        WriteError: a process of the run's own found the disk full.
    """
    sent, known = list(messages), Known()
    traffic = [
        entry
        for message in sent
        for entry in records.traffic_entries(
            server.shops[message.metadata.dst_node_id], server_round, "down", message, known
        )
    ]
    came = list(server.grid.send_and_receive(sent, timeout=server.reply_timeout_seconds))
    for message in came:
        if (shop := server.shops.get(message.metadata.src_node_id)) is not None:
            traffic += records.traffic_entries(shop, server_round, "up", message)
    asked = {message.metadata.dst_node_id: server.shops[message.metadata.dst_node_id] for message in sent}
    found = sort_replies(came, asked)
    replies, failures = [], []
    for shop_id in asked.values():
        reply = found.by_shop.get(shop_id)
        kind: Literal["dropped", "refused"] = "dropped"
        if shop_id in found.refused:
            kind, reason, details = "refused", found.refused[shop_id], ""
        elif reply is None:
            reason, details = f"no reply within {server.reply_timeout_seconds} seconds", ""
        elif not reply.has_error():
            replies.append(reply)
            continue
        else:
            reason, _, details = (reply.error.reason or "no reason given").partition("\n")
            if server.own_hosts and reason.startswith(_NOT_WRITTEN):
                # Not one shop's failure: the next round would fail like this one.
                raise WriteError(reason.removeprefix(_NOT_WRITTEN))
            reason, details = shown(reason), details[:_LONGEST_DETAILS]
        failures.append(ShopFailure(shop_id, server_round, phase, kind, reason, details))
    failures += [
        ShopFailure(
            server.shops.get(node_id),
            server_round,
            phase,
            "refused",
            "it replied and takes no part in this round"
            if node_id in server.shops
            else f"node {node_id} replied, which stands for no shop",
        )
        for node_id in found.strangers
    ]
    return RoundTrip(tuple(replies), tuple(failures), tuple(traffic))
