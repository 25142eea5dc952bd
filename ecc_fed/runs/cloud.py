"""What a run asked of the cloud, phase by phase, and whether the cloud was there to the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ecc_fed.core.outside_text import cut
from ecc_fed.core.rows import CloudCalls, FailureRow, MetricRow, read_run_info
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.runs.collect import Collected
from ecc_fed.teacher.providers.settings import REPLAY_ONLY

# Outcomes of a teacher that is not there; one that refuses, or a budget that is used up, is.
_SILENT = ("error: ", "unavailable: ", "timeout: ", "rate_limited: ")


def cloud_by_phase(collected: Collected) -> dict[str, CloudCalls]:
    """Calls of the base's evaluation, of all rounds together, and of the final evaluation."""
    stream = sum((_of(row) for row in collected.metrics), CloudCalls())
    base, final = (collected.evaluations.get(phase, CloudCalls()) for phase in ("base", "final"))
    return {"base": base, "stream": stream, "final": final}


def _of(row: MetricRow) -> CloudCalls:
    """A row tells its errors' reasons and not how often each came; each counts once."""
    return CloudCalls(
        row.teacher_requests,
        row.teacher_cached,
        row.teacher_failed,
        row.input_tokens,
        row.output_tokens,
        row.cost_usd,
        dict.fromkeys(row.teacher_errors, 1),
        row.redaction,
    )


def teacher_failures(cloud: Mapping[str, CloudCalls], metrics: Sequence[MetricRow]) -> Iterator[FailureRow]:
    """The errors of the evaluations by reason; and, if the teacher was gone at the end of the run, since when."""
    for phase in ("base", "final"):
        for reason, count in cloud[phase].errors.items():
            yield FailureRow("teacher_error", cut(f"{phase} evaluation, {count} times: {reason}"))
    rounds = sorted({row.server_round for row in metrics if row.split == "stream"})
    steps: list[tuple[str, int | None, CloudCalls]] = [("the base evaluation", None, cloud["base"])]
    for server_round in rounds:
        calls = sum((_of(row) for row in metrics if row.server_round == server_round), CloudCalls())
        steps.append((f"round {server_round}", server_round, calls))
    steps.append(("the final evaluation", None, cloud["final"]))
    since: tuple[str, int | None, CloudCalls] | None = None
    for step in reversed(steps):
        if step[2].requests == step[2].cached:
            continue
        if not _silent(step[2]):
            break
        since = step
    if since is not None:
        name, of_round, lost = since
        reason = next(iter(lost.errors), "no reason given")
        yield FailureRow("teacher_gone", cut(f"no reply from {name} to the end of the run: {reason}"), of_round)


def _silent(calls: CloudCalls) -> bool:
    """Whether none of the calls that left got an answer."""
    unheard = all(reason.startswith(_SILENT) and REPLAY_ONLY not in reason for reason in calls.errors)
    return calls.failed == calls.requests - calls.cached and unheard


def ended(directories: Iterable[RunDirectory]) -> int:
    """The exit code of finished runs: 1 where the teacher of one was gone at its end."""
    infos = [read_run_info(directory.run) for directory in directories if directory.run.is_file()]
    return int(any(failure.kind == "teacher_gone" for info in infos for failure in info.failures))
