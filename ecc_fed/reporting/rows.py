"""A finished run as typed rows. What a file holds is checked here, so that nothing further on has to."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.core.records import Turn
from ecc_fed.core.run_directory import RunDirectory, read_json, read_jsonl, read_text

SCHEMA = 1
Phase = Literal["base", "final"]
Number = (int, float)


@dataclass(frozen=True, slots=True)
class FactRow:
    """One fact that a reply had to state, and what it did state.

    `seen`: the shop's training dialogues hold the fact with this value. `competing_stated`: values
    it must not state and did. `other_shop`: the shops whose value of this kind was stated.
    """

    key: str
    kind: str
    scope: Literal["shop", "platform"]
    accepted: tuple[str, ...]
    seen: bool
    stated: bool
    competing_stated: tuple[str, ...]
    other_shop: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Stated, and no competing value beside it."""
        return self.stated and not self.competing_stated


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One test query's reply in one phase. Judgement fields are None where no cloud reply was had.

    `extra`: asked beside the shop's test queries, without a human reply to hold it against.
    """

    shop_id: str
    pair_id: str
    phase: Phase
    context: tuple[Turn, ...]
    query: str
    reference: str
    reply: str
    cloud_reply: str | None
    intent: str | None
    form_id: str | None
    similarity: float | None
    relevance: float | None
    cloud_relevance: float | None
    final_score: float | None
    relevance_trusted: bool | None
    accepted: bool | None
    facts: tuple[FactRow, ...]
    chrf: float | None
    verbatim: bool | None
    nll_nats: float | None
    label_tokens: int | None
    characters: int | None
    extra: bool = False


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One shop's numbers of one server round or cycle of it. `numbers` holds what is a number."""

    server_round: int
    shop_id: str
    split: str
    numbers: Mapping[str, float]


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
    """One finished run. `samples`, `metrics` and `traffic` are None where the file is not there.

    `traffic` maps a flow to its bytes and its number of ledger entries.
    """

    directory: RunDirectory
    arm: str
    seed: int
    shops: tuple[str, ...]
    info: Mapping[str, Any]
    samples: tuple[SampleRow, ...] | None
    metrics: tuple[MetricRow, ...] | None
    traffic: Mapping[Flow, tuple[int, int]] | None
    config: str | None = field(repr=False, default=None)

    def rows(self, phase: Phase) -> list[SampleRow]:
        """The phase's rows of test queries, by shop and query."""
        return [row for row in self.samples or () if row.phase == phase and not row.extra]

    def extra_rows(self, phase: Phase) -> list[SampleRow]:
        """The phase's rows of queries asked beside the test queries."""
        return [row for row in self.samples or () if row.phase == phase and row.extra]


class _Row:
    """One JSON object with its place, so that a wrong value is named by file, line and key."""

    def __init__(self, row: Mapping[str, Any], where: str) -> None:
        self.row, self.where = row, where

    def fail(self, problem: str) -> RunDirectoryError:
        return RunDirectoryError(f"{self.where}: {problem}; repair the file or run it again")

    def get(self, key: str, kind: type | tuple[type, ...], *, required: bool = False) -> Any:
        value = self.row.get(key)
        if value is None:
            if required:
                raise self.fail(f"{key!r} is missing")
            return None
        if not isinstance(value, kind) or (isinstance(value, bool) and kind in (int, Number)):
            raise self.fail(f"{key!r} is {value!r:.60}, which is of the wrong type")
        return value

    def number(self, key: str) -> float | None:
        value = self.get(key, Number)
        return None if value is None else float(value)

    def one_of(self, key: str, options: tuple[str, ...]) -> Any:
        value = self.get(key, str, required=True)
        if value not in options:
            raise self.fail(f"{key!r} is {value!r}, not one of {', '.join(options)}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(str(item) for item in self.get(key, list) or ())

    def children(self, key: str) -> list["_Row"]:
        items = self.get(key, list) or []
        if not all(isinstance(item, dict) for item in items):
            raise self.fail(f"{key!r} must hold JSON objects")
        return [_Row(item, f"{self.where}, {key!r}[{index}]") for index, item in enumerate(items)]


def _fact(row: _Row) -> FactRow:
    return FactRow(
        key=row.get("key", str, required=True),
        kind=row.get("kind", str, required=True),
        scope=row.one_of("scope", ("shop", "platform")),
        accepted=row.texts("accepted"),
        seen=row.get("seen", bool, required=True),
        stated=row.get("stated", bool, required=True),
        competing_stated=row.texts("competing_stated"),
        other_shop=row.texts("other_shop"),
    )


def _turn(row: _Row) -> Turn:
    return Turn(row.one_of("role", ("customer", "agent")), row.get("text", str, required=True))


def _sample(row: _Row) -> SampleRow:
    return SampleRow(
        shop_id=row.get("shop_id", str, required=True),
        pair_id=row.get("pair_id", str, required=True),
        phase=row.one_of("phase", ("base", "final")),
        context=tuple(_turn(turn) for turn in row.children("context")),
        query=row.get("query", str, required=True),
        reference=row.get("reference", str, required=True),
        reply=row.get("reply", str, required=True),
        cloud_reply=row.get("cloud_reply", str),
        intent=row.get("intent", str),
        form_id=row.get("form_id", str),
        similarity=row.number("similarity"),
        relevance=row.number("relevance"),
        cloud_relevance=row.number("cloud_relevance"),
        final_score=row.number("final_score"),
        relevance_trusted=row.get("relevance_trusted", bool),
        accepted=row.get("accepted", bool),
        facts=tuple(_fact(fact) for fact in row.children("facts")),
        chrf=row.number("chrf"),
        verbatim=row.get("verbatim", bool),
        nll_nats=row.number("nll_nats"),
        label_tokens=row.get("label_tokens", int),
        characters=row.get("characters", int),
        extra=row.get("extra", bool) or False,
    )


def _metric(row: _Row) -> MetricRow:
    numbers = {
        key: float(value)
        for key, value in row.row.items()
        if isinstance(value, Number) and not isinstance(value, bool) and key != "server_round"
    }
    return MetricRow(
        server_round=row.get("server_round", int, required=True),
        shop_id=row.get("shop_id", str, required=True),
        split=row.get("split", str, required=True),
        numbers=numbers,
    )


def _rows(path: Path) -> list[_Row] | None:
    if not path.exists():
        return None
    # Blank lines are skipped, so a row's number counts rows, not lines.
    return [_Row(row, f"{path}, row {number}") for number, row in enumerate(read_jsonl(path), start=1)]


def _samples(path: Path) -> tuple[SampleRow, ...] | None:
    rows = _rows(path)
    if rows is None:
        return None
    found: dict[tuple[str, str, str], SampleRow] = {}
    for row in rows:
        sample = _sample(row)
        key = (sample.shop_id, sample.pair_id, sample.phase)
        if key in found:
            raise row.fail(f"shop {key[0]!r}, pair {key[1]!r}, phase {key[2]!r} stands here a second time")
        found[key] = sample
    # Sorted, so that the draws of the bootstrap do not depend on who finished first.
    return tuple(found[key] for key in sorted(found))


def _traffic(path: Path) -> dict[Flow, tuple[int, int]] | None:
    rows = _rows(path)
    if rows is None:
        return None
    totals: dict[Flow, tuple[int, int]] = {}
    for row in rows:
        flow = Flow(
            destination=row.get("destination", str, required=True),
            direction=row.one_of("direction", ("up", "down")),
            kind=row.get("kind", str, required=True),
            redaction=row.get("redaction", str) or "none",
            evaluation=(row.get("details", dict) or {}).get("purpose") == "evaluate",
        )
        num_bytes, entries = totals.get(flow, (0, 0))
        totals[flow] = (num_bytes + row.get("num_bytes", int, required=True), entries + 1)
    return {flow: totals[flow] for flow in sorted(totals, key=astuple)}


def _check_info(info: _Row) -> None:
    """Checks what the report counts with; the rest is shown as it stands."""
    info.number("platform_share")
    for key in ("privacy", "versions"):
        info.get(key, dict)
    runtime = _Row(info.get("runtime", dict) or {}, f"{info.where}, 'runtime'")
    for key in ("wall_seconds", "client_steps", "client_steps_per_second", "shops_per_batch"):
        runtime.number(key)
    bigram = _Row(info.get("bigram_perplexity", dict) or {}, f"{info.where}, 'bigram_perplexity'")
    for shop in bigram.row:
        bigram.number(shop)
    info.children("failures")
    for entry in info.children("aggregation"):
        entry.get("server_round", int, required=True)
        entry.number("relative_error")


def load_run(root: Path) -> Run:
    """Reads and checks one finished run.

    Raises:
        RunDirectoryError: `run.json` is missing or of another schema, or a row is broken; names
            file, row and key.
    """
    directory = RunDirectory(root)
    info = _Row(read_json(directory.run), str(directory.run))
    if info.row.get("schema") != SCHEMA:
        raise RunDirectoryError(
            f"{directory.run}: schema {info.row.get('schema')!r}, and this version reads schema {SCHEMA}; "
            "run it again, or use the version that wrote it"
        )
    _check_info(info)
    shops = info.get("shops", list, required=True)
    metrics = _rows(directory.metrics)
    return Run(
        directory=directory,
        arm=info.get("arm", str, required=True),
        seed=info.get("seed", int, required=True),
        shops=tuple(str(shop) for shop in shops),
        info=info.row,
        samples=_samples(directory.samples),
        metrics=None if metrics is None else tuple(_metric(row) for row in metrics),
        traffic=_traffic(directory.egress),
        config=read_text(directory.config) if directory.config.exists() else None,
    )
