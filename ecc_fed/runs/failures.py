"""Everything that went wrong in a run, each with a reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ecc_fed.core.outside_text import cut
from ecc_fed.core.rows import FailureRow, MetricRow
from ecc_fed.federation.results import FederationResult
from ecc_fed.hosts.reports import HostReport


def failure_rows(
    result: FederationResult, hosts: Sequence[HostReport], metrics: Sequence[MetricRow]
) -> tuple[FailureRow, ...]:
    """Failures of shops, rounds, hosts and the teacher, in this order.

    Args:
        result: what the server saw.
        hosts: what the hosts had to do again.
        metrics: rows of `metrics.jsonl`, which hold the teacher's errors.
    """
    return (*_of_shops_and_rounds(result), *_of_hosts(hosts), *_of_teacher(metrics))


def _of_shops_and_rounds(result: FederationResult) -> Iterator[FailureRow]:
    for failure in result.failures:
        reason = cut(f"{failure.phase}: {failure.reason}")
        yield FailureRow(f"shop_{failure.kind}", reason, failure.server_round, failure.shop_id)
    for skipped in result.skipped_rounds:
        yield FailureRow("round_skipped", cut(skipped.reason), skipped.server_round)


def _of_hosts(hosts: Sequence[HostReport]) -> Iterator[FailureRow]:
    for number, host in enumerate(hosts):
        for halved in host.halvings:
            yield FailureRow(
                "batch_halved",
                f"host {number}: {halved.shops} shops at once ran out of memory, from then on {halved.limit} "
                f"({halved.reason})",
                halved.server_round,
            )
        for restarted in host.restarts:
            yield FailureRow(
                "host_restarted",
                f"host {number}: {restarted.reason}; a new one did its {restarted.shops} unfinished shops again",
                restarted.server_round,
            )


def _of_teacher(metrics: Sequence[MetricRow]) -> Iterator[FailureRow]:
    for row in metrics:
        for reason in row.teacher_errors:
            yield FailureRow("teacher_error", cut(reason), row.server_round, row.shop_id)
