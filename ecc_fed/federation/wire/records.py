"""What travels: adapters and reports to Flower's records and back. All keys stand here.

message            down                                    up
query.shop         -                                       config: shop-id
train              arrays (the server's tensors, or none), metrics: num-examples and the shop's own;
                   config: server-round, train, up         arrays and metrics.scale, unless up is empty
evaluate           arrays (as above),                      metrics: num-examples and the means
                   config: server-round, phase

`train` and `up` are patterns of tensor names, as a JSON list: Flower cannot count an empty one of its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from ecc_fed.core.aggregation import AdapterUpdate, Exchange, Patterns
from ecc_fed.core.records import AdapterState, EgressEntry, EvaluationReport
from ecc_fed.federation.wire.arrays import from_arrays, to_arrays
from ecc_fed.federation.wire.checks import RefusedReply

ARRAYS = "arrays"
CONFIG = "config"
METRICS = "metrics"
NUM_EXAMPLES = "num-examples"
SCALE = "scale"
SERVER_ROUND = "server-round"
TRAIN = "train"
UP = "up"
PHASE = "phase"
SHOP_ID = "shop-id"
QUERY_SHOP = "query.shop"


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """One shop's round. `incoming=None`: go on with your own adapter."""

    server_round: int
    incoming: AdapterState | None
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class EvaluateRequest:
    """One shop's evaluation."""

    server_round: int
    incoming: AdapterState | None
    phase: Literal["base", "final"]


def train_config(server_round: int, exchange: Exchange) -> ConfigRecord:
    """The instructions of one training round."""
    return ConfigRecord({SERVER_ROUND: server_round, TRAIN: json.dumps(exchange.train), UP: json.dumps(exchange.up)})


def evaluate_config(server_round: int, phase: Literal["base", "final"]) -> ConfigRecord:
    """The instructions of one evaluation."""
    return ConfigRecord({SERVER_ROUND: server_round, PHASE: phase})


def instructions(arrays: ArrayRecord, config: ConfigRecord) -> RecordDict:
    """A message's content on its way down."""
    return RecordDict({ARRAYS: arrays, CONFIG: config})


def _incoming(content: RecordDict) -> AdapterState | None:
    return from_arrays(content.array_records.get(ARRAYS))


def _setting(content: RecordDict, key: str) -> Any:
    config = content.config_records.get(CONFIG, ConfigRecord())
    if key not in config:
        raise ValueError(f"the message lacks {CONFIG}.{key}; server and shop must run the same version of ecc_fed")
    return config[key]


def _patterns(content: RecordDict, key: str) -> Patterns:
    return tuple(json.loads(str(_setting(content, key))))


def read_train_request(content: RecordDict) -> TrainRequest:
    """The shop's side of `train_config`.

    Raises:
        ValueError: a setting is missing.
    """
    server_round = int(_setting(content, SERVER_ROUND))
    return TrainRequest(server_round, _incoming(content), Exchange(_patterns(content, TRAIN), _patterns(content, UP)))


def read_evaluate_request(content: RecordDict) -> EvaluateRequest:
    """The shop's side of `evaluate_config`.

    Raises:
        ValueError: a setting is missing.
    """
    return EvaluateRequest(int(_setting(content, SERVER_ROUND)), _incoming(content), _setting(content, PHASE))


def phase_and_round(message: Message) -> tuple[str, int]:
    """What a message asks for: base, train or final, and its server round."""
    config = message.content.config_records.get(CONFIG, ConfigRecord())
    return str(config.get(PHASE, "train")), int(str(config.get(SERVER_ROUND, 0)))


def goes_on_from(message: Message) -> int | None:
    """The server round before which the shop's own state is wanted; None where the message needs none."""
    phase, server_round = phase_and_round(message)
    if phase == "base":
        return None
    return server_round if phase == "train" else server_round + 1


def train_reply(update: AdapterUpdate, up: Patterns) -> RecordDict:
    """What a shop sends back after a round: none of its adapter where nothing was asked for."""
    reply = RecordDict({METRICS: _metrics(update.num_examples, update.metrics)})
    if up:
        reply[ARRAYS] = to_arrays(update.adapter)
        reply.metric_records[METRICS][SCALE] = float(update.scale)
    return reply


def evaluate_reply(report: EvaluationReport) -> RecordDict:
    """What a shop sends back after an evaluation."""
    return RecordDict({METRICS: _metrics(report.num_examples, report.metrics)})


def _metrics(num_examples: int, metrics: Mapping[str, float]) -> MetricRecord:
    numbers: dict[str, Any] = {name: float(value) for name, value in metrics.items()}
    return MetricRecord({**numbers, NUM_EXAMPLES: int(num_examples)})


def _read_metrics(content: RecordDict) -> tuple[int, dict[str, float]]:
    metrics = dict(content.metric_records.get(METRICS, MetricRecord()))
    num_examples = metrics.pop(NUM_EXAMPLES, None)
    if not isinstance(num_examples, int) or num_examples < 0:
        raise RefusedReply(f"{METRICS}.{NUM_EXAMPLES} is {num_examples!r}; a count of 0 or more is needed")
    lists = [name for name, value in metrics.items() if isinstance(value, list)]
    if lists:
        raise RefusedReply(f"{METRICS}.{lists[0]} is a list; one number is needed")
    return num_examples, {name: float(value) for name, value in metrics.items() if not isinstance(value, list)}


def read_update(content: RecordDict, shop_id: str, server_round: int, up: Patterns) -> AdapterUpdate:
    """The server's side of `train_reply`; the adapter is empty where none was asked for.

    Raises:
        RefusedReply: no usable count of examples; or, though asked for, no scale, or no adapter that can be read.
    """
    num_examples, metrics = _read_metrics(content)
    if not up:
        return AdapterUpdate(shop_id, server_round, {}, num_examples, metrics=metrics)
    try:
        adapter = from_arrays(content.array_records.get(ARRAYS))
    except Exception as error:  # whatever numpy makes of foreign bytes
        raise RefusedReply(f"a tensor cannot be read: {error}") from error
    if adapter is None:
        raise RefusedReply("the reply holds no adapter")
    scale = metrics.pop(SCALE, math.nan)
    if not 0 < scale < math.inf:
        raise RefusedReply(f"{METRICS}.{SCALE} is {scale}; a number above 0 is needed")
    return AdapterUpdate(shop_id, server_round, adapter, num_examples, scale, metrics)


def read_evaluate_reply(content: RecordDict) -> EvaluationReport:
    """The server's side of `evaluate_reply`.

    Raises:
        RefusedReply: no usable count of examples.
    """
    return EvaluationReport(*_read_metrics(content))


def traffic_entries(
    shop_id: str, server_round: int, direction: Literal["up", "down"], message: Message
) -> list[EgressEntry]:
    """The bytes of one message, an entry a kind: adapter, metrics, config, error.

    Counted as Flower counts a record: serialized tensors or values, and the names.
    """
    if message.has_error():
        sizes = {"error": len((message.error.reason or "").encode())}
    else:
        content = message.content
        sizes = {
            "adapter": sum(record.count_bytes() for record in content.array_records.values()),
            "metrics": sum(record.count_bytes() for record in content.metric_records.values()),
            "config": sum(record.count_bytes() for record in content.config_records.values()),
        }
    return [
        EgressEntry(shop_id, server_round, "aggregator", direction, kind, size) for kind, size in sizes.items() if size
    ]
