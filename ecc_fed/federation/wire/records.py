"""What travels: Flower's records and their keys, and what the server asks of a shop. `replies` holds the answers.

message            down                                    up
query.shop         -                                       config: shop-id
train              arrays (the server's tensors, or none), config: run, phase, server-round, shop-id;
                   control, where there is any,            metrics: num-examples and the shop's own;
                   config: run, phase, server-round,       arrays and metrics.scale, unless up is empty;
                   train, up, turns, keeps-control;        control, where the shop keeps variates;
                   public-queries and asks, agreed-replies public-replies, where it was asked
                   where shops teach each other by them
evaluate           arrays (as above),                      config: as above;
                   config: run, phase, server-round        metrics: num-examples and the means

With secure aggregation no metrics go up, and no adapter in the clear: `secure_aggregation.wire` has its messages.

`run` is drawn by chance for every run: an answer to another run, phase or round than asked about is refused.
`train` and `up` are patterns of tensor names, as a JSON list: Flower cannot count an empty one of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from ecc_fed.core.aggregation import Exchange, Patterns
from ecc_fed.core.outside_text import cut, visible
from ecc_fed.core.records import AdapterState, EgressEntry, PublicSet
from ecc_fed.federation.wire.arrays import from_arrays
from ecc_fed.federation.wire.serialised import ENVELOPE, ERROR, Known, Record, measured
from ecc_fed.federation.wire.texts import from_texts, to_texts

ARRAYS = "arrays"
CONTROL = "control"
CONFIG = "config"
METRICS = "metrics"
PUBLIC_QUERIES = "public-queries"
AGREED_REPLIES = "agreed-replies"
PUBLIC_REPLIES = "public-replies"
# What secure aggregation itself takes (`secure_aggregation.wire`).
SECURE = "secure-aggregation"
# Records of settings, each of a kind of its own in the ledger.
_OWN_KINDS = (PUBLIC_QUERIES, AGREED_REPLIES, PUBLIC_REPLIES, SECURE)
# In the ledger's order.
_KINDS = (
    "adapter", CONTROL, METRICS, CONFIG, *(name.replace("-", "_") for name in _OWN_KINDS), ERROR, ENVELOPE,
)  # fmt: skip
ASKS = "asks"
NUM_EXAMPLES = "num-examples"
SCALE = "scale"
RUN = "run"
SERVER_ROUND = "server-round"
TRAIN = "train"
UP = "up"
TURNS = "turns"
KEEPS_CONTROL = "keeps-control"
PHASE = "phase"
SHOP_ID = "shop-id"
QUERY_SHOP = "query.shop"


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """One shop's round. `incoming=None`: go on with your own adapter; `control` is the server's variate, if any.

    `public` is what the shops teach each other, where they do.
    """

    server_round: int
    incoming: AdapterState | None
    exchange: Exchange
    control: AdapterState | None = None
    public: PublicSet | None = None


@dataclass(frozen=True, slots=True)
class EvaluateRequest:
    """One shop's evaluation."""

    server_round: int
    incoming: AdapterState | None
    phase: Literal["base", "final"]


def train_config(server_round: int, exchange: Exchange) -> ConfigRecord:
    """The instructions of one training round."""
    rules = {TURNS: exchange.turns, KEEPS_CONTROL: exchange.control}
    tensors = {TRAIN: json.dumps(exchange.train), UP: json.dumps(exchange.up)}
    return ConfigRecord({PHASE: "train", SERVER_ROUND: server_round, **tensors, **rules})


def evaluate_config(server_round: int, phase: Literal["base", "final"]) -> ConfigRecord:
    """The instructions of one evaluation."""
    return ConfigRecord({SERVER_ROUND: server_round, PHASE: phase})


def instructions(
    arrays: ArrayRecord,
    config: ConfigRecord,
    run: str,
    control: ArrayRecord | None = None,
    public: PublicSet | None = None,
) -> RecordDict:
    """A message's content on its way down, in the run of that name."""
    content = RecordDict({ARRAYS: arrays, CONFIG: ConfigRecord({RUN: run, **config})})
    if control:
        content[CONTROL] = control
    if public is not None:
        content[PUBLIC_QUERIES] = ConfigRecord({**to_texts(public.queries), ASKS: public.asks})
        if public.agreed:
            content[AGREED_REPLIES] = to_texts(public.agreed)
    return content


def _incoming(content: RecordDict) -> AdapterState | None:
    return from_arrays(content.array_records.get(ARRAYS))


def _public(content: RecordDict) -> PublicSet | None:
    queries = content.config_records.get(PUBLIC_QUERIES)
    if queries is None:
        return None
    agreed = content.config_records.get(AGREED_REPLIES)
    return PublicSet(from_texts(queries), from_texts(agreed), bool(queries[ASKS]))


def _setting(content: RecordDict, key: str) -> Any:
    config = content.config_records.get(CONFIG, ConfigRecord())
    if key not in config:
        raise ValueError(f"the message lacks {CONFIG}.{key}; server and shop must run the same version of ecc_fed")
    return config[key]


def answered(content: RecordDict, shop_id: str) -> ConfigRecord:
    """What a reply of the shop says that it answers, from the message's own words.

    Raises:
        ValueError: a setting is missing.
    """
    return ConfigRecord({**{key: _setting(content, key) for key in (RUN, PHASE, SERVER_ROUND)}, SHOP_ID: shop_id})


def _patterns(content: RecordDict, key: str) -> Patterns:
    return tuple(json.loads(str(_setting(content, key))))


def read_train_request(content: RecordDict) -> TrainRequest:
    """The shop's side of `train_config`.

    Raises:
        ValueError: a setting is missing.
    """
    server_round = int(_setting(content, SERVER_ROUND))
    rules = bool(_setting(content, TURNS)), bool(_setting(content, KEEPS_CONTROL))
    exchange = Exchange(_patterns(content, TRAIN), _patterns(content, UP), *rules)
    control = from_arrays(content.array_records.get(CONTROL))
    return TrainRequest(server_round, _incoming(content), exchange, control, _public(content))


def read_evaluate_request(content: RecordDict) -> EvaluateRequest:
    """The shop's side of `evaluate_config`.

    Raises:
        ValueError: a setting is missing.
    """
    return EvaluateRequest(int(_setting(content, SERVER_ROUND)), _incoming(content), _setting(content, PHASE))


def phase_and_round(message: Message) -> tuple[str, int]:
    """What a message asks for (base, train, final, or another stage of secure aggregation), and its server round."""
    config = message.content.config_records.get(CONFIG, ConfigRecord())
    return str(config.get(PHASE, "train")), int(str(config.get(SERVER_ROUND, 0)))


def goes_on_from(message: Message) -> int | None:
    """The server round before which the shop's own state is wanted; None where the message needs none."""
    phase, server_round = phase_and_round(message)
    return {"train": server_round, "final": server_round + 1}.get(phase)


def is_work(phase: str) -> bool:
    """Whether a message of this phase has a shop train or be evaluated; the others only prepare or end such a one."""
    return phase in ("base", "train", "final")


def traffic_entries(
    shop_id: str,
    server_round: int,
    direction: Literal["up", "down"],
    message: Message,
    known: Known | None = None,
) -> list[EgressEntry]:
    """The bytes of one message, an entry a kind: adapter, control variates, metrics, config, public texts, error, what
    secure aggregation takes, and `envelope`, all else.

    Together they are the message as Flower serialises it (`serialised`), byte for byte. `details` names what stands in
    a record of metrics or settings, without the values, and counts tensors.

    Args:
        shop_id: whose.
        server_round: in which.
        direction: seen from the shop.
        message: as it is sent, or as it came.
        known: of messages that may share tensors with this one (`serialised.measured`).
    """
    found = measured(message, _kind, {} if known is None else known)
    details = {} if message.has_error() else _details(message.content)
    return [
        EgressEntry(
            shop_id,
            server_round,
            "aggregator",
            direction,
            kind,
            found[kind].num_bytes,
            details=details.get(kind, {}),
            digest=found[kind].digest,
        )
        for kind in _KINDS
        if kind in found
    ]


def _kind(name: str, record: Record) -> str:
    if isinstance(record, ArrayRecord):
        return CONTROL if name == CONTROL else "adapter"
    if isinstance(record, MetricRecord):
        return METRICS
    return name.replace("-", "_") if name in _OWN_KINDS else CONFIG


def _details(content: RecordDict) -> dict[str, dict[str, str | int | float]]:
    """By kind, what is told; names come from outside."""
    names: dict[str, list[str]] = {}
    tensors: dict[str, int] = {}
    for name, record in content.items():
        kind = _kind(name, record)
        if isinstance(record, ArrayRecord):
            tensors[kind] = tensors.get(kind, 0) + len(record)
        if not isinstance(record, ArrayRecord) or len(record) == 1:
            names.setdefault(kind, []).extend(record)
    told: dict[str, dict[str, str | int | float]] = {kind: {"tensors": count} for kind, count in tensors.items()}
    for kind, found in names.items():
        told.setdefault(kind, {})["names"] = visible(cut(",".join(found))).replace("\n", "\\n")
    return told
