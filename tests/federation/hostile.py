"""Replies that lie: what a shop could send in the place of an honest reply, by kind."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from io import BytesIO

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from ecc_fed.federation.wire.records import ARRAYS, CONFIG, METRICS
from tests.federation.fakes import SHAPES, A, B

# From the honest reply to the one that lies, and a part of the reason why it is refused.
Lie = tuple[Callable[[RecordDict], RecordDict], str]


def _with(content: RecordDict, **records: object) -> RecordDict:
    return RecordDict({**content, **{name: each for name, each in records.items() if each is not None}})  # type: ignore[dict-item]


def _bytes(data: bytes, stype: str = "numpy.ndarray") -> Callable[[RecordDict], RecordDict]:
    """One tensor's bytes are others."""

    def lie(content: RecordDict) -> RecordDict:
        arrays = {**content.array_records[ARRAYS], A: Array("float32", SHAPES[A], stype, data)}
        return _with(content, arrays=ArrayRecord(arrays))

    return lie


def _tensor(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[RecordDict], RecordDict]:
    def lie(content: RecordDict) -> RecordDict:
        arrays = dict(content.array_records[ARRAYS])
        arrays[A] = Array(change(arrays[A].numpy().copy()))
        return _with(content, arrays=ArrayRecord(arrays))

    return lie


def _value(value: float) -> Callable[[RecordDict], RecordDict]:
    def change(tensor: np.ndarray) -> np.ndarray:
        tensor[0, 0] = value
        return tensor

    return _tensor(change)


class AnyMetrics(MetricRecord):
    """A record whose sender did not check what stands in it."""

    def __init__(self, values: dict) -> None:
        super().__init__()
        self.__dict__["_data"].update(values)


def _metrics(**values: object) -> Callable[[RecordDict], RecordDict]:
    named = {name.replace("_", "-"): value for name, value in values.items()}
    return lambda content: _with(content, metrics=AnyMetrics({**content.metric_records[METRICS], **named}))


def _more_metrics(values: dict[str, float]) -> Callable[[RecordDict], RecordDict]:
    return lambda content: _with(content, metrics=AnyMetrics({**content.metric_records[METRICS], **values}))


def _answers(**values: object) -> Callable[[RecordDict], RecordDict]:
    named = {name.replace("_", "-"): value for name, value in values.items()}
    return lambda content: _with(content, config=ConfigRecord({**content.config_records[CONFIG], **named}))


def _without(*names: str) -> Callable[[RecordDict], RecordDict]:
    return lambda content: RecordDict({name: each for name, each in content.items() if name not in names})


def _zip() -> bytes:
    file = BytesIO()
    np.savez(file, x=np.ones(SHAPES[A], np.float32))
    return file.getvalue()


class Armed:
    """Would say so if it were unpickled."""

    fired: list[int] = []  # noqa: RUF012 (for all)

    def __reduce__(self) -> tuple:
        return Armed.fired.append, (1,)


def _objects() -> bytes:
    file = BytesIO()
    np.save(file, np.array([Armed()], object), allow_pickle=True)
    return file.getvalue()


def _claim(shape: str) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


class Explosive(RecordDict):
    """Raises when it is looked at."""

    def __iter__(self):
        raise RuntimeError("boom\x1b[31m" + "x" * 1000)


NOT_READ = "cannot be read"
LIES: dict[str, Lie] = {
    "a zip that numpy opens": (_bytes(_zip()), NOT_READ),
    "a pickle": (_bytes(pickle.dumps(Armed())), NOT_READ),
    "an object array": (_bytes(_objects()), NOT_READ),
    "text": (_bytes("没有张量".encode()), NOT_READ),
    "nothing": (_bytes(b""), NOT_READ),
    "another stype": (_bytes(_claim("(2, 5)") + bytes(40), "torch.Tensor"), "serialized as torch.Tensor"),
    "10^12 elements": (_bytes(_claim("(1000000, 1000000)")), "claims 4000000000000 bytes"),
    "float64": (_tensor(lambda t: t.astype(np.float64)), "is float64, not float32"),
    "int": (_tensor(lambda t: t.astype(np.int32)), "is int32, not float32"),
    "complex": (_tensor(lambda t: t.astype(np.complex64)), "is complex64, not float32"),
    "0-d": (_tensor(lambda t: np.array(t[0, 0])), "has shape (), not (2, 5)"),
    "transposed": (_tensor(lambda t: t.T.copy()), "has shape (5, 2), not (2, 5)"),
    "NaN": (_value(np.nan), "holds 1 values that are not finite"),
    "inf": (_value(-np.inf), "holds 1 values that are not finite"),
    "1e38": (_value(1e38), "10000 is the limit"),
    "-1e38": (_value(-1e38), "10000 is the limit"),
    "no adapter": (_without(ARRAYS), "holds no adapter"),
    "no metrics": (_without(METRICS), "num-examples is None"),
    "no config": (_without(CONFIG), "does not say which run"),
    "nothing at all": (lambda content: RecordDict(), "does not say which run"),
    "a config in place of arrays": (lambda c: _with(c, arrays=ConfigRecord({"x": 1})), "holds no adapter"),
    "metrics in place of a config": (lambda c: _with(c, config=MetricRecord({"x": 1})), "does not say which run"),
    "another record": (lambda c: _with(c, gift=ConfigRecord({"x": 1})), "holds gift, which was not asked for"),
    "another name": (
        lambda c: _with(c, arrays=ArrayRecord({f"odd\n.{n}": t for n, t in c.array_records[ARRAYS].items()})),
        "has unexpected odd\\n.",
    ),
    "one tensor": (lambda c: _with(c, arrays=ArrayRecord({A: c.array_records[ARRAYS][A]})), f"lacks {B}"),
    "100,000 metrics": (_more_metrics(dict.fromkeys(map(str, range(100_000)), 1.0)), "metrics; 100 are the most"),
    "a long name of a metric": (_more_metrics({"x" * 2**20: 1.0}), "a metric is called xxx"),
    "control characters": (_more_metrics({"\x1b[2J": 1.0}), "a metric is called \\u001b[2J"),
    "a metric without a name": (_more_metrics({"": 1.0}), "a metric is called"),
    "a metric that is NaN": (_metrics(loss=float("nan")), "metrics.loss is not finite"),
    "a metric that is inf": (_metrics(loss=float("inf")), "metrics.loss is not finite"),
    "a metric of 1e38": (_metrics(loss=-1e38), "metrics.loss is not finite, or beyond 9.0072e+15"),
    "a metric of 2^2000": (_metrics(loss=2**2000), "metrics.loss is not finite, or beyond"),
    "a metric that is a list": (_metrics(loss=[1.0]), "metrics.loss is a list"),
    "scale 0": (_metrics(scale=0.0), "metrics.scale is 0.0; the run's settings give 1.0"),
    "a negative scale": (_metrics(scale=-1.0), "metrics.scale is -1.0"),
    "scale NaN": (_metrics(scale=float("nan")), "metrics.scale is not finite"),
    "scale 1e30": (_metrics(scale=1e30), "metrics.scale is not finite, or beyond"),
    "twice the scale": (_metrics(scale=2.0), "metrics.scale is 2.0"),
    "no scale": (
        lambda c: _with(c, metrics=MetricRecord({"num-examples": 3})),
        "metrics.scale is nan; the run's settings give 1.0",
    ),
    "-1 examples": (_metrics(num_examples=-1), "num-examples is -1"),
    "True examples": (_metrics(num_examples=True), "num-examples is True"),
    "2.0 examples": (_metrics(num_examples=2.0), "num-examples is 2.0"),
    "2^70 examples": (_metrics(num_examples=2**70), "num-examples is above 100, the most that a shop can have"),
    "101 examples": (_metrics(num_examples=101), "num-examples is above 100"),
    "a list of examples": (_metrics(num_examples=[3]), "num-examples is [3]"),
    "another round's": (_answers(server_round=7), "answers server-round 7, not"),
    "another shop's": (_answers(shop_id="somebody"), "answers shop-id somebody, not"),
    "another run's": (_answers(run="0123"), "answers run 0123, not"),
    "another phase's": (_answers(phase="final" * 100), "answers phase finalfinal"),
    "what raises": (lambda content: Explosive(), "the reply cannot be read: RuntimeError: boom\\u001b[31mxxx"),
}


def many_tensors(content: RecordDict) -> RecordDict:
    """Takes Flower seconds to make, so it stands apart."""
    one = content.array_records[ARRAYS][A]
    arrays = ArrayRecord()
    arrays.__dict__["_data"].update({f"{number}": one for number in range(100_000)})
    return _with(content, arrays=arrays)
