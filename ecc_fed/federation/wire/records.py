"""What travels: adapters and reports to Flower's records and back. All keys stand here.

message            down                                    up
query.shop         -                                       config: shop-id
train              arrays (empty: go on with your own),    metrics: num-examples and the shop's own;
                   config: server-round, upload            arrays, if `upload`
evaluate           arrays (as above),                      metrics: num-examples and the means
                   config: server-round, phase
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any, Literal

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from ecc_fed.core.records import AdapterState, EgressEntry, EvaluationReport, TrainReport

ARRAYS = "arrays"
CONFIG = "config"
METRICS = "metrics"
NUM_EXAMPLES = "num-examples"
SERVER_ROUND = "server-round"
UPLOAD = "upload"
PHASE = "phase"
SHOP_ID = "shop-id"
QUERY_SHOP = "query.shop"

# numpy parses a tensor's header with `ast`, and Python 3.11 checks its depth in a counter that all threads share: shops
# that read at the same time now and then failed (the error of https://github.com/python/cpython/issues/106905).
_PARSING = threading.Lock()

# How numpy's format begins: the magic and version 1.0, which holds any tensor of plain numbers.
_NPY = b"\x93NUMPY\x01\x00"

AnyArray = np.ndarray[Any, np.dtype[Any]]
Signature = tuple[tuple[str, tuple[int, ...]], ...]


class RefusedReply(ValueError):
    """A reply that must not be averaged; the text is the recorded reason."""


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """One shop's round. `incoming=None`: go on with your own adapter. `upload=False`: keep it to yourself."""

    server_round: int
    incoming: AdapterState | None
    upload: bool


@dataclass(frozen=True, slots=True)
class EvaluateRequest:
    """One shop's evaluation."""

    server_round: int
    incoming: AdapterState | None
    phase: Literal["base", "final"]


def to_arrays(state: AdapterState | None) -> ArrayRecord:
    """The state as Flower sends it; None becomes an empty record."""
    return ArrayRecord({name: Array(np.ascontiguousarray(tensor)) for name, tensor in (state or {}).items()})


def from_arrays(record: ArrayRecord | None) -> AdapterState | None:
    """The state in `record`; None for no record or an empty one.

    Raises:
        ValueError: a tensor's bytes are not a numpy array.
    """
    if not record:
        return None
    return {name: _tensor(array) for name, array in record.items()}


def _tensor(array: Array) -> AnyArray:
    """`array.numpy()`, which for the tensors of an adapter takes four times as long: it parses every header anew."""
    data = array.data
    if array.stype == "numpy.ndarray" and data.startswith(_NPY):
        start = len(_NPY) + 2 + int.from_bytes(data[len(_NPY) : len(_NPY) + 2], "little")
        shape, fortran_order, dtype = _header(data[:start])
        if not dtype.hasobject and len(data) - start == math.prod(shape) * dtype.itemsize:
            flat = np.frombuffer(data, dtype, offset=start)
            return flat.reshape(shape, order="F" if fortran_order else "C").copy()
    with _PARSING:
        return array.numpy()  # says what is wrong


@lru_cache(maxsize=1024)
def _header(start: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and dtype of a tensor in numpy's format, version 1.0."""
    with _PARSING:
        return np.lib.format.read_array_header_1_0(BytesIO(start[len(_NPY) :]))


def train_config(server_round: int, upload: bool) -> ConfigRecord:
    """The instructions of one training round."""
    return ConfigRecord({SERVER_ROUND: server_round, UPLOAD: upload})


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


def read_train_request(content: RecordDict) -> TrainRequest:
    """The shop's side of `train_config`.

    Raises:
        ValueError: a setting is missing.
    """
    return TrainRequest(int(_setting(content, SERVER_ROUND)), _incoming(content), bool(_setting(content, UPLOAD)))


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
    if phase == "train":
        return server_round
    alone = not message.content.array_records.get(ARRAYS)
    return server_round + 1 if phase == "final" and alone else None


def _metrics(report: TrainReport | EvaluationReport) -> MetricRecord:
    metrics: dict[str, Any] = {name: float(value) for name, value in report.metrics.items()}
    return MetricRecord({**metrics, NUM_EXAMPLES: int(report.num_examples)})


def train_reply(report: TrainReport, upload: bool) -> RecordDict:
    """What a shop sends back after a round: never its adapter unless `upload`."""
    reply = RecordDict({METRICS: _metrics(report)})
    if upload:
        reply[ARRAYS] = to_arrays(report.adapter)
    return reply


def evaluate_reply(report: EvaluationReport) -> RecordDict:
    """What a shop sends back after an evaluation."""
    return RecordDict({METRICS: _metrics(report)})


def _read_metrics(content: RecordDict) -> tuple[int, dict[str, float]]:
    metrics = dict(content.metric_records.get(METRICS, MetricRecord()))
    num_examples = metrics.pop(NUM_EXAMPLES, None)
    if not isinstance(num_examples, int) or num_examples < 0:
        raise RefusedReply(f"{METRICS}.{NUM_EXAMPLES} is {num_examples!r}; a count of 0 or more is needed")
    lists = [name for name, value in metrics.items() if isinstance(value, list)]
    if lists:
        raise RefusedReply(f"{METRICS}.{lists[0]} is a list; one number is needed")
    return num_examples, {name: float(value) for name, value in metrics.items() if not isinstance(value, list)}


def read_train_reply(content: RecordDict, upload: bool) -> TrainReport:
    """The server's side of `train_reply`; the adapter is empty where none was asked for.

    Raises:
        RefusedReply: no usable count of examples; no adapter though one was asked for, or one that
            is not readable, not fp32 or not finite.
    """
    num_examples, metrics = _read_metrics(content)
    if not upload:
        return TrainReport({}, num_examples, metrics)
    try:
        adapter = from_arrays(content.array_records.get(ARRAYS))
    except Exception as error:  # whatever numpy makes of foreign bytes
        raise RefusedReply(f"a tensor cannot be read: {error}") from error
    if adapter is None:
        raise RefusedReply("the reply holds no adapter")
    check_tensors(adapter)
    return TrainReport(adapter, num_examples, metrics)


def read_evaluate_reply(content: RecordDict) -> EvaluationReport:
    """The server's side of `evaluate_reply`.

    Raises:
        RefusedReply: no usable count of examples.
    """
    return EvaluationReport(*_read_metrics(content))


def check_tensors(state: AdapterState) -> None:
    """Every tensor fp32 and finite.

    Raises:
        RefusedReply: names the first tensor that is not.
    """
    for name, tensor in state.items():
        if tensor.dtype != np.float32:
            raise RefusedReply(f"tensor {name} is {tensor.dtype}, not float32")
        if not np.isfinite(tensor).all():
            raise RefusedReply(f"tensor {name} holds {int((~np.isfinite(tensor)).sum())} values that are not finite")


def signature(state: AdapterState) -> Signature:
    """Names and shapes, sorted."""
    return tuple(sorted((name, tuple(tensor.shape)) for name, tensor in state.items()))


def common_signature(states: Iterable[AdapterState]) -> Signature:
    """The signature that most states have; of equally many, the one seen first."""
    return Counter(signature(state) for state in states).most_common(1)[0][0]


def check_signature(state: AdapterState, expected: Signature) -> None:
    """Names and shapes as expected.

    Raises:
        RefusedReply: names what is missing, unexpected or of another shape.
    """
    has, wants = dict(signature(state)), dict(expected)
    missing = [name for name in wants if name not in has]
    unexpected = [name for name in has if name not in wants]
    if missing or unexpected:
        parts = [f"lacks {missing[0]} and {len(missing) - 1} more"] if missing else []
        parts += [f"has unexpected {unexpected[0]} and {len(unexpected) - 1} more"] if unexpected else []
        raise RefusedReply(f"the adapter {'; it '.join(parts)}")
    for name, shape in wants.items():
        if has[name] != shape:
            raise RefusedReply(f"tensor {name} has shape {has[name]}, not {shape}")


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
