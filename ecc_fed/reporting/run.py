"""A finished run as typed rows. What a file holds is checked as it is read, so that nothing further on has to."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path

from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.core.records import EgressEntry
from ecc_fed.core.rows import MetricRow, Phase, RunInfo, SampleRow, UpdateRow, lifts, read_rows, read_run_info
from ecc_fed.core.run_directory import RunDirectory, read_text


@dataclass(frozen=True, slots=True)
class Flow:
    """Bytes of one sort: who gets them, which way they go, what they are, how they were redacted.

    `evaluation`: asked only to score test replies; a cost of the experiment, not of serving.
    """

    destination: str
    direction: str
    kind: str
    redaction: str
    evaluation: bool


@dataclass(frozen=True, slots=True)
class Run:
    """One finished run. `samples`, `metrics`, `updates` and `traffic` are None where the file is not there.

    `traffic` maps a flow to its bytes and its number of ledger entries; `cloud_bytes` a server round to the bytes that
    went up to the cloud and came down for serving.
    """

    directory: RunDirectory
    info: RunInfo
    samples: tuple[SampleRow, ...] | None
    metrics: tuple[MetricRow, ...] | None
    updates: tuple[UpdateRow, ...] | None
    traffic: Mapping[Flow, tuple[int, int]] | None
    cloud_bytes: Mapping[int, tuple[int, int]] | None
    config: str | None = field(repr=False, default=None)

    @property
    def arm(self) -> str:
        """Who learned from what."""
        return self.info.arm

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.info.seed

    @property
    def shops(self) -> tuple[str, ...]:
        """The run's shops, in its order."""
        return self.info.shops

    @property
    def evolves(self) -> bool:
        """Whether the shops learned anything: in an arm that does not, base and final are one model."""
        return self.info.server_rounds > 0

    @property
    def flagged(self) -> list[UpdateRow]:
        """The updates that stand out."""
        return [row for row in self.updates or () if row.flags]

    def rows(self, phase: Phase) -> list[SampleRow]:
        """The phase's rows of test queries, by shop and query."""
        return [row for row in self.samples or () if row.phase == phase and not row.extra]

    def extra_rows(self, phase: Phase) -> list[SampleRow]:
        """The phase's rows of queries asked beside the test queries."""
        return [row for row in self.samples or () if row.phase == phase and row.extra]


def _samples(path: Path, schema: int) -> tuple[SampleRow, ...] | None:
    if not path.exists():
        return None
    found: dict[tuple[str, str, str], SampleRow] = {}
    for number, row in enumerate(read_rows(path, SampleRow, lift=lifts(schema).get(SampleRow)), start=1):
        key = (row.shop_id, row.pair_id, row.phase)
        if key in found:
            raise RunDirectoryError(
                f"{path}, row {number}: shop {key[0]!r}, pair {key[1]!r}, phase {key[2]!r} stands here a second time; "
                "remove one of the two or run it again"
            )
        found[key] = row
    # Sorted, so that the draws of the bootstrap do not depend on who finished first.
    return tuple(found[key] for key in sorted(found))


def _metrics(path: Path, schema: int) -> tuple[MetricRow, ...] | None:
    if not path.exists():
        return None
    return tuple(read_rows(path, MetricRow, lift=lifts(schema).get(MetricRow)))


def _traffic(path: Path) -> tuple[dict[Flow, tuple[int, int]] | None, dict[int, tuple[int, int]] | None]:
    """By flow, and of serving's calls to the cloud by server round; None without a ledger."""
    if not path.exists():
        return None, None
    totals: dict[Flow, tuple[int, int]] = {}
    rounds: dict[int, tuple[int, int]] = {}
    for entry in read_rows(path, EgressEntry):
        flow = Flow(
            destination=entry.destination,
            direction=entry.direction,
            kind=entry.kind,
            redaction=entry.redaction,
            evaluation=entry.details.get("purpose") == "evaluate",
        )
        num_bytes, entries = totals.get(flow, (0, 0))
        totals[flow] = (num_bytes + entry.num_bytes, entries + 1)
        if flow.destination == "cloud_teacher" and not flow.evaluation:
            up, down = rounds.get(entry.server_round, (0, 0))
            sent = entry.num_bytes if flow.direction == "up" else 0
            rounds[entry.server_round] = (up + sent, down + entry.num_bytes - sent)
    return {flow: totals[flow] for flow in sorted(totals, key=astuple)}, dict(sorted(rounds.items()))


def load_run(root: Path) -> Run:
    """Reads and checks one finished run, of this version or an older one.

    Raises:
        RunDirectoryError: `run.json` is missing or of a schema that this version does not read, or a row
            is broken; names file, row and key.
    """
    directory = RunDirectory(root)
    info = read_run_info(directory.run)
    traffic, cloud_bytes = _traffic(directory.egress)
    return Run(
        directory=directory,
        info=info,
        samples=_samples(directory.samples, info.schema),
        metrics=_metrics(directory.metrics, info.schema),
        updates=tuple(read_rows(directory.updates, UpdateRow)) if directory.updates.exists() else None,
        traffic=traffic,
        cloud_bytes=cloud_bytes,
        config=read_text(directory.config) if directory.config.exists() else None,
    )
