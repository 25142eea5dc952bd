"""Calls by phase, and since when a teacher was gone."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from ecc_fed.core.records import RedactionCounts
from ecc_fed.core.rows import CloudCalls, EvaluationPhase, MetricRow
from ecc_fed.evolution.loop import Learned
from ecc_fed.evolution.warm_start import warm_start_row
from ecc_fed.runs.cloud import cloud_by_phase, teacher_failures
from ecc_fed.runs.collect import Collected
from ecc_fed.teacher.providers.settings import REPLAY_ONLY

DEAD = CloudCalls(4, 0, 4, errors={"unavailable: HTTP 503: gone": 4})
FINE = CloudCalls(4, 1, 0, 30, 10, 0.5)


def round_of(server_round: int, calls: CloudCalls) -> MetricRow:
    warm = warm_start_row("a", Learned({}, None, (), 0, 1.0))
    return replace(
        warm,
        server_round=server_round,
        split="stream",
        teacher_requests=calls.requests,
        teacher_cached=calls.cached,
        teacher_failed=calls.failed,
        teacher_errors=tuple(calls.errors),
        cost_usd=calls.cost_usd,
        redaction=calls.redaction,
    )


def failures(
    rounds: list[CloudCalls], evaluations: Mapping[EvaluationPhase, CloudCalls]
) -> list[tuple[str, int | None, str]]:
    metrics = tuple(round_of(number, calls) for number, calls in enumerate(rounds, start=1))
    cloud = cloud_by_phase(Collected(metrics, (), evaluations))
    return [(row.kind, row.server_round, row.reason) for row in teacher_failures(cloud, metrics)]


def test_the_phases_stand_apart() -> None:
    metrics = (round_of(1, FINE), round_of(2, DEAD))
    cloud = cloud_by_phase(Collected(metrics, (), {"base": FINE, "final": DEAD}))
    assert list(cloud) == ["base", "stream", "final"]
    assert (cloud["base"], cloud["final"]) == (FINE, DEAD)
    assert (cloud["stream"].requests, cloud["stream"].cached, cloud["stream"].failed) == (8, 1, 4)
    assert cloud["stream"].cost_usd == 0.5


def test_what_rounds_redacted_adds_up() -> None:
    calls = CloudCalls(1, redaction=RedactionCounts({"phone": 2}, 5, 1, 1, 1))
    cloud = cloud_by_phase(Collected((round_of(1, calls), round_of(2, calls)), (), {}))
    assert cloud["stream"].redaction == RedactionCounts({"phone": 4}, 10, 2, 2, 2)


def test_a_teacher_that_died_is_named_with_the_round_from_which_it_was_gone() -> None:
    found = failures([FINE, DEAD, DEAD], {"base": FINE, "final": DEAD})
    assert found == [
        ("teacher_error", None, "final evaluation, 4 times: unavailable: HTTP 503: gone"),
        ("teacher_gone", 2, "no reply from round 2 to the end of the run: unavailable: HTTP 503: gone"),
    ]


@pytest.mark.parametrize(
    "last",
    [
        FINE,
        replace(FINE, failed=2, errors={"unavailable: HTTP 503": 2}),
        CloudCalls(4, 0, 4, errors={"budget: used up": 4}),
        CloudCalls(4, 0, 4, errors={"blocked: no": 4}),
        CloudCalls(4, 0, 4, errors={f"error: {REPLAY_ONLY}": 4}),
    ],
)
def test_a_teacher_that_answers_again_or_refuses_or_may_not_be_asked_is_not_gone(last: CloudCalls) -> None:
    assert not [kind for kind, _, _ in failures([DEAD], {"base": FINE, "final": last}) if kind == "teacher_gone"]


def test_calls_that_the_cache_answered_tell_nothing_of_the_teacher() -> None:
    cached = CloudCalls(4, 4, 0)
    assert ("teacher_gone", 1) in [row[:2] for row in failures([DEAD, cached], {"base": FINE, "final": cached})]
