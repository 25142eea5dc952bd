"""The server's side under Flower's own engines: `flwr run`, or a SuperLink with SuperNodes.

The run config (`[tool.flwr.app.config]`, overridden by `flwr run --run-config "key=value"`) says
what to run; the shops read their side of it from the same place.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import EgressEntry
from ecc_fed.core.run_directory import write_json
from ecc_fed.federation.flower.one_by_one import OneByOne
from ecc_fed.federation.flower.plain_errors import FLOWER_LOG, log_errors_plainly
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import Checkpoint, FederationError, FederationResult, ShopFailure, as_json
from ecc_fed.federation.round_trip import Server
from ecc_fed.federation.rounds import OnCheckpoint, run_rounds
from ecc_fed.federation.wire import records
from ecc_fed.federation.wire.checks import shown

_log = logging.getLogger(FLOWER_LOG)

_POLL_SECONDS = 0.2
# Between two lines about nodes that are awaited: where others have come meanwhile, and where none has.
_CHANGED_SECONDS, _AGAIN_SECONDS = 10.0, 300.0
_LONGEST_ID = 200


def find_shops(grid: Grid, num_shops: int, timeout_seconds: float) -> tuple[dict[int, str], list[EgressEntry]]:
    """Waits for `num_shops` nodes and asks each which shop it stands for; sorted by shop, with the bytes of it.

    Raises:
        FederationError: too few nodes in time, a node that cannot say, or two nodes for one shop.
    """
    nodes = _await_nodes(grid, num_shops, timeout_seconds)
    asked = [Message(RecordDict({records.CONFIG: ConfigRecord()}), node_id, records.QUERY_SHOP) for node_id in nodes]
    known, shops = set(nodes), dict[int, str]()
    traffic: list[EgressEntry] = []
    for reply in grid.send_and_receive(asked, timeout=timeout_seconds):
        if reply.metadata.src_node_id not in known:
            continue
        if reply.metadata.src_node_id in shops:
            raise FederationError(f"Node {reply.metadata.src_node_id} says twice which shop it stands for.")
        if reply.has_error():
            reason = shown((reply.error.reason or "no reason given").partition("\n")[0])
            raise FederationError(f"Node {reply.metadata.src_node_id} has no shop to offer: {reason}")
        shop_id = shops[reply.metadata.src_node_id] = _shop_id(reply)
        traffic += records.traffic_entries(shop_id, 0, "up", reply)
    if len(shops) < len(nodes):
        raise FederationError(f"{len(nodes) - len(shops)} nodes did not answer within {timeout_seconds:g} seconds.")
    if len(set(shops.values())) < len(shops):
        raise FederationError(f"Two nodes stand for the same shop: {', '.join(sorted(shops.values()))}.")
    asked_of = {message.metadata.dst_node_id: message for message in asked}
    traffic += [
        entry
        for node_id, shop_id in shops.items()
        for entry in records.traffic_entries(shop_id, 0, "down", asked_of[node_id])
    ]
    return dict(sorted(shops.items(), key=lambda item: item[1])), sorted(traffic, key=lambda entry: entry.shop_id)


def _await_nodes(grid: Grid, num_shops: int, timeout_seconds: float) -> list[int]:
    """Flower's ids of the nodes, once there are enough; until then the log says how many are missing.

    At once, some seconds after a change, and every few minutes: whoever forgot a SuperNode reads it, and a thousand
    that come one by one are no thousand lines.

    Raises:
        FederationError: too few in time.
    """
    started = time.monotonic()
    told: int | None = None
    told_at = started
    while len(nodes := list(grid.get_node_ids())) < num_shops:
        now = time.monotonic()
        if now - started > timeout_seconds:
            raise FederationError(
                f"{len(nodes)} of {num_shops} nodes are there after {timeout_seconds:g} seconds: start more "
                "SuperNodes, or set num-shops in the run config to the number of nodes."
            )
        if told is None or now - told_at >= (_AGAIN_SECONDS if len(nodes) == told else _CHANGED_SECONDS):
            told, told_at = len(nodes), now
            left = timeout_seconds - (now - started)
            _log.info(
                "Waiting for %d nodes, %d are here: start more SuperNodes within %.0f seconds, or set num-shops in the "
                "run config to the number of nodes.",
                num_shops,
                told,
                left,
            )
        time.sleep(_POLL_SECONDS)
    if told is not None:
        _log.info("All %d nodes are here.", len(nodes))
    return nodes


def _shop_id(reply: Message) -> str:
    shop_id = reply.content.config_records.get(records.CONFIG, ConfigRecord()).get(records.SHOP_ID)
    if not isinstance(shop_id, str) or not 0 < len(shop_id) <= _LONGEST_ID or not shop_id.isprintable():
        raise FederationError(
            f"Node {reply.metadata.src_node_id} says that its shop is {shown(repr(shop_id))}: a name of 1 to "
            f"{_LONGEST_ID} characters that can be printed is needed."
        )
    return shop_id


# Called at the end with the plan, the run's shops in its order, and what the server saw.
OnEnd = Callable[[FederationPlan, Sequence[str], FederationResult], None]


@dataclass(frozen=True, slots=True)
class ServerFolder:
    """Where a run's server keeps its state: what it goes on from, how it keeps what comes, and what it leaves."""

    resume: Checkpoint | None
    keep: OnCheckpoint
    finish: OnEnd


# The server's folder, held for this run while the block lasts.
FolderOf = Callable[[Context], AbstractContextManager[ServerFolder]]


def _keeps_nothing(context: Context) -> AbstractContextManager[ServerFolder]:
    return nullcontext(ServerFolder(None, lambda checkpoint: None, lambda plan, shop_ids, result: None))


def server_app(
    build: Callable[[Mapping[str, object]], FederationPlan], folder_of: FolderOf = _keeps_nothing
) -> ServerApp:
    """A ServerApp that runs an arm, logs its result as one JSON line, and writes it to `result-path` if that is set.

    Args:
        build: from Flower's run config to what the federation runs; what it raises ends the run.
        folder_of: the run's folder on the server's side; without it the server keeps nothing.
    """
    app = ServerApp()

    @app.main()
    def main(flowers: Grid, context: Context) -> None:
        log_errors_plainly()
        grid = OneByOne(flowers)
        run_config = context.run_config
        plan = build(run_config)
        timeout_seconds = float(run_config.get("reply-timeout-seconds", 3600.0))
        num_shops = _num_shops(run_config)
        with folder_of(context) as folder:
            shops, asked = find_shops(grid, num_shops, timeout_seconds)
            server = Server(grid, shops, timeout_seconds)

            def reached(checkpoint: Checkpoint) -> None:
                folder.keep(checkpoint)
                _tell(checkpoint, plan.arm.server_rounds)

            found = run_rounds(server, plan, resume=folder.resume, on_checkpoint=reached)
            _tell_failures(found.final.failures)
            found = replace(found, base=replace(found.base, traffic=(*asked, *found.base.traffic)))
            result = as_json(found)
            _log.info("Result: %s", json.dumps(result, ensure_ascii=False))
            if result_path := run_config.get("result-path"):
                write_json(Path(str(result_path)), result)
            folder.finish(plan, list(shops.values()), found)

    return app


def _tell(checkpoint: Checkpoint, server_rounds: int) -> None:
    """A line for what was done last, and one for every shop that it went on without."""
    if not checkpoint.rounds:
        _log.info("The base was evaluated: %d shops.", len(checkpoint.base.shops))
        _tell_failures(checkpoint.base.failures)
        return
    last = checkpoint.rounds[-1]
    skipped = "" if last.skipped is None else f" Nothing was aggregated: {shown(last.skipped.reason)}"
    _log.info(
        "Round %d of %d: %d shops, %.1f seconds.%s",
        last.server_round,
        server_rounds,
        len(last.shops),
        last.seconds,
        skipped,
    )
    _tell_failures(last.failures)


def _tell_failures(failures: Sequence[ShopFailure]) -> None:
    for failure in failures:
        _log.warning("%s was %s: %s", failure.shop_id or "A stranger", failure.kind, shown(failure.reason))


def _num_shops(run_config: Mapping[str, object]) -> int:
    num_shops = run_config.get("num-shops")
    if not isinstance(num_shops, int) or num_shops < 1:
        raise ConfigError(f"num-shops={num_shops} is no number of nodes: 1 or more, as many as the corpus has shops.")
    return num_shops
