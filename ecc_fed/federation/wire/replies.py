"""A shop's answers: written on its side, read and doubted on the server's.

Whatever stands in a reply, reading it takes time and memory in proportion to its bytes, raises `RefusedReply` alone,
and gives numbers that are finite and within the declared bounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from ecc_fed.core.aggregation import AdapterUpdate, Patterns, Shapes, adapter_rank
from ecc_fed.core.records import AdapterState, EvaluationReport
from ecc_fed.federation.limits import MOST_EXAMPLES, ReplyLimits
from ecc_fed.federation.wire import checks
from ecc_fed.federation.wire.arrays import to_arrays, view
from ecc_fed.federation.wire.checks import RefusedReply, shown
from ecc_fed.federation.wire.records import (
    ARRAYS,
    CONFIG,
    CONTROL,
    METRICS,
    NUM_EXAMPLES,
    PHASE,
    PUBLIC_REPLIES,
    RUN,
    SCALE,
    SERVER_ROUND,
    SHOP_ID,
)
from ecc_fed.federation.wire.texts import read_replies, to_texts

MOST_METRICS = 100
_LONGEST_NAME = 100
# Every whole number up to here is a float.
_LARGEST_METRIC = 2.0**53


@dataclass(frozen=True, slots=True)
class Asked:
    """What the server asked of one shop, and so what the reply must say that it answers."""

    run: str
    phase: str
    server_round: int
    shop_id: str


def train_reply(update: AdapterUpdate, up: Patterns, answered: ConfigRecord, *, told: bool = True) -> RecordDict:
    """What a shop sends back after a round: none of its adapter where nothing was asked for.

    Without `told`, and then nothing goes up, not even how much it learned from: it only says that it is done.
    """
    if not told:
        return RecordDict({CONFIG: answered})
    reply = RecordDict({CONFIG: answered, METRICS: _metrics(update.num_examples, update.metrics)})
    if up:
        reply[ARRAYS] = to_arrays(update.adapter)
        reply.metric_records[METRICS][SCALE] = float(update.scale)
    if update.control:
        reply[CONTROL] = to_arrays(update.control)
    if update.replies:
        reply[PUBLIC_REPLIES] = to_texts(update.replies)
    return reply


def evaluate_reply(report: EvaluationReport, answered: ConfigRecord) -> RecordDict:
    """What a shop sends back after an evaluation; a report without a count only says that it is done."""
    if report.num_examples is None:
        return RecordDict({CONFIG: answered})
    return RecordDict({CONFIG: answered, METRICS: _metrics(report.num_examples, report.metrics)})


def _metrics(num_examples: int, metrics: Mapping[str, float]) -> MetricRecord:
    numbers: dict[str, Any] = {name: float(value) for name, value in metrics.items()}
    return MetricRecord({**numbers, NUM_EXAMPLES: int(num_examples)})


def read_update(
    content: RecordDict,
    asked: Asked,
    wanted: Shapes,
    limits: ReplyLimits,
    *,
    mixed_ranks: bool,
    masked: bool,
    control: Shapes | None = None,
    scale_factor: float = 1.0,
    num_replies: int = 0,
) -> AdapterUpdate:
    """The server's side of `train_reply`; the adapter is empty where none was asked for.

    Args:
        content: what came.
        asked: what it must answer.
        wanted: names and shapes of the tensors asked for.
        limits: what holds for all shops.
        mixed_ranks: low-rank factors may have a lower rank than in `wanted`, all of them the same.
        masked: values are hidden, so that their size tells nothing.
        control: names and shapes of the control variate's tensors; None: none is asked for.
        scale_factor: by what this shop's scale is multiplied.
        num_replies: to public queries that were asked for.

    Raises:
        RefusedReply: it is no such answer; names the first thing wrong with it.
    """
    known = {CONFIG, METRICS, *([ARRAYS] if wanted else []), *([CONTROL] if control else [])}
    known |= {PUBLIC_REPLIES} if num_replies else set()
    check_records(content, asked, known)
    num_examples, metrics = _read_metrics(content, limits.max_examples)
    scale = metrics.pop(SCALE, math.nan)
    said: tuple[str, ...] = ()
    if num_replies:
        record = content.config_records.get(PUBLIC_REPLIES)
        said = read_replies(record, num_replies, limits.settings.max_characters)
    if not wanted:
        return AdapterUpdate(asked.shop_id, asked.server_round, {}, num_examples, metrics=metrics, replies=said)
    adapter = _read_adapter(content.array_records.get(ARRAYS), wanted, mixed_ranks)
    checks.check_values(adapter, math.inf if masked else limits.settings.max_value)
    rank = adapter_rank(adapter)
    expected = 1.0 if rank is None else limits.scale_at(rank) * scale_factor
    if not math.isclose(scale, expected, rel_tol=1e-9):
        raise RefusedReply(f"{METRICS}.{SCALE} is {scale}; the run's settings give {expected}")
    own = {name: tensor.copy() for name, tensor in adapter.items()}
    change = _read_control(content.array_records.get(CONTROL), control, limits) if control else {}
    return AdapterUpdate(asked.shop_id, asked.server_round, own, num_examples, expected, metrics, change, said)


def _read_control(record: ArrayRecord | None, wanted: Shapes, limits: ReplyLimits) -> AdapterState:
    """Of the same doubts as an adapter."""
    try:
        found = _read_adapter(record, wanted, mixed_ranks=False)
        checks.check_values(found, limits.settings.max_value)
    except RefusedReply as error:
        raise RefusedReply(f"of its control variate: {error}") from None
    return {name: tensor.copy() for name, tensor in found.items()}


def read_done(content: RecordDict, asked: Asked) -> None:
    """The server's side of a reply that only says that its shop is done.

    Raises:
        RefusedReply: it says more, or answers something else.
    """
    check_records(content, asked, {CONFIG})


def read_evaluate_reply(content: RecordDict, asked: Asked) -> EvaluationReport:
    """The server's side of `evaluate_reply`.

    Raises:
        RefusedReply: as `read_update`.
    """
    check_records(content, asked, {CONFIG, METRICS})
    return EvaluationReport(*_read_metrics(content, MOST_EXAMPLES))


def check_records(content: RecordDict, asked: Asked, known: set[str]) -> None:
    """A reply that answers what was asked, with no records but those known.

    Raises:
        RefusedReply: it does not.
    """
    unknown = [name for name in content if name not in known]
    if unknown:
        raise RefusedReply(f"the reply holds {shown(unknown[0])}, which was not asked for, and {len(unknown) - 1} more")
    answered = content.config_records.get(CONFIG, ConfigRecord())
    expected = {RUN: asked.run, SHOP_ID: asked.shop_id, PHASE: asked.phase, SERVER_ROUND: asked.server_round}
    for key, value in expected.items():
        if key not in answered:
            raise RefusedReply(f"the reply does not say which {key} it answers")
        if answered[key] != value:
            raise RefusedReply(f"the reply answers {key} {shown(str(answered[key])[:200])}, not {shown(str(value))}")


def _read_metrics(content: RecordDict, max_examples: int) -> tuple[int, dict[str, float]]:
    metrics = dict(content.metric_records.get(METRICS, MetricRecord()))
    num_examples = metrics.pop(NUM_EXAMPLES, None)
    if type(num_examples) is not int or num_examples < 0:
        raise RefusedReply(f"{METRICS}.{NUM_EXAMPLES} is {shown(repr(num_examples))}; a count of 0 or more is needed")
    if num_examples > max_examples:
        raise RefusedReply(f"{METRICS}.{NUM_EXAMPLES} is above {max_examples}, the most that a shop can have")
    if len(metrics) > MOST_METRICS:
        raise RefusedReply(f"the reply holds {len(metrics)} metrics; {MOST_METRICS} are the most")
    numbers: dict[str, float] = {}
    for name, value in metrics.items():
        if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
            raise RefusedReply(
                f"a metric is called {shown(name)}: 1 to {_LONGEST_NAME} characters that can be printed are needed"
            )
        if type(value) is not int and type(value) is not float:
            raise RefusedReply(f"{METRICS}.{name} is a {type(value).__name__}; one number is needed")
        if not abs(value) <= _LARGEST_METRIC:
            raise RefusedReply(f"{METRICS}.{name} is not finite, or beyond {_LARGEST_METRIC:g}")
        numbers[name] = float(value)
    return num_examples, numbers


def _read_adapter(record: ArrayRecord | None, wanted: Shapes, mixed_ranks: bool) -> AdapterState:
    """Views of the tensors, once names and shapes are as wanted."""
    if not record:
        raise RefusedReply("the reply holds no adapter")
    checks.check_names(record, wanted)
    found = {}
    for name in wanted:  # in the server's order
        try:
            found[name] = view(record[name])
        except Exception as error:  # whatever foreign bytes bring about
            raise RefusedReply(f"tensor {name} cannot be read: {shown(str(error))}") from error
    checks.check_shapes(found, wanted, mixed_ranks)
    return found
