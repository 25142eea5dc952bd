"""What the cloud can be sent is made of what a device knows: the truth is not within its reach."""

import dataclasses
import inspect
import types
import typing
from collections.abc import Iterator

import pytest

from ecc_fed.core import truth
from ecc_fed.core.completion import TeacherPrompt
from ecc_fed.core.protocols import RedactedSession, Redactor, Teacher, TeacherGateway
from ecc_fed.core.records import (
    Hidden,
    OrderRecord,
    Pair,
    PseudoLabel,
    Restored,
    Session,
    Shop,
    TeacherReply,
    TeacherRequest,
)
from ecc_fed.evolution.loop import ask_cloud
from ecc_fed.evolution.review.session import Review
from ecc_fed.privacy.redaction.others import Others
from ecc_fed.privacy.redaction.redactors import OrderRecordRedaction
from ecc_fed.privacy.redaction.session import PlaceholderSession
from ecc_fed.teacher.distillation.distill import plan_queries
from ecc_fed.teacher.gateway.gateway import Gateway

TRUTHS = {truth.Truth, truth.Fact, truth.PrivateValue}


def parts(hint: object) -> Iterator[type]:
    """Every class that a type hint names."""
    if isinstance(hint, type) and not isinstance(hint, types.GenericAlias):
        yield hint
    for inner in typing.get_args(hint):
        yield from parts(inner) if not isinstance(inner, list) else (p for each in inner for p in parts(each))


def reachable(*hints: object) -> set[type]:
    """Every class that an object of one of `hints` holds, however deep."""
    found: set[type] = set()
    waiting = [part for hint in hints for part in parts(hint)]
    while waiting:
        kind = waiting.pop()
        if kind in found:
            continue
        found.add(kind)
        if dataclasses.is_dataclass(kind):
            waiting += [part for hint in typing.get_type_hints(kind).values() for part in parts(hint)]
    return found


def arguments(function: object) -> list[object]:
    return list(typing.get_type_hints(function).values())


@pytest.mark.parametrize(
    "hints",
    [
        [TeacherRequest],
        [TeacherReply, TeacherPrompt, PseudoLabel],
        [Session],
        [Pair],
        [Shop],
        [OrderRecord],
        arguments(Redactor.redact),
        arguments(RedactedSession.restore),
        arguments(OrderRecordRedaction.redact),
        [PlaceholderSession, Others, Hidden, Restored],
        arguments(TeacherGateway.answer),
        arguments(Teacher.complete),
        arguments(Gateway.answer),
        arguments(plan_queries),
    ],
    ids=lambda hints: hints[0].__name__ if isinstance(hints[0], type) else str(hints[0]),
)
def test_no_truth_is_within_reach_of_what_goes_to_the_cloud(hints: list[object]) -> None:
    assert not reachable(*hints) & TRUTHS


def test_the_walk_finds_truth_where_there_is_some() -> None:
    assert reachable(truth.ShopTruth) >= TRUTHS
    assert reachable(dict[str, tuple[truth.PrivateValue | None, ...]]) >= {truth.PrivateValue}
    assert reachable(TeacherRequest) >= {OrderRecord}
    assert OrderRecord in reachable(*arguments(Redactor.redact))


@pytest.mark.parametrize("function", [ask_cloud, Review.__init__, Review.ask])
def test_whoever_asks_the_cloud_is_handed_no_truth(function: object) -> None:
    assert not any("ruth" in str(parameter.annotation) for parameter in inspect.signature(function).parameters.values())


@pytest.mark.parametrize(
    ("record", "values"),
    [
        (OrderRecord(), ()),
        (OrderRecord(phone="138"), (("phone", "138"),)),
        (
            OrderRecord("王五", "138", "杭州", ("1", "2"), ("S3",)),
            (
                ("name", "王五"),
                ("phone", "138"),
                ("address", "杭州"),
                ("order", "1"),
                ("order", "2"),
                ("parcel", "S3"),
            ),
        ),
    ],
)
def test_a_record_tells_all_it_holds_by_kind(record: OrderRecord, values: tuple[tuple[str, str], ...]) -> None:
    assert record.values() == values
