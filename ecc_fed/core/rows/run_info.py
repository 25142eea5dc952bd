"""`run.json`: what was run, for how long, and what failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ecc_fed.core.rows.cloud_calls import CloudCalls
from ecc_fed.core.rows.judge import JudgeInfo
from ecc_fed.core.rows.reading import Reading
from ecc_fed.core.rows.shop_profile import ShopProfile


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the run took.

    `base_loads`, `service_seconds`: of all hosts together; the peaks: of the host that took most;
    `shops_per_batch` is the most shops side by side in a host, `pass_tokens` the tokens of its passes of fine-tuning
    where they were measured (None elsewhere, and in older files), `batch_reason` why no more.
    """

    wall_seconds: float
    client_steps: int
    client_steps_per_second: float
    hosts: int
    shops_per_batch: int
    batch_reason: str
    service_seconds: Mapping[str, float]
    base_loads: int
    peak_rss_bytes: int
    peak_gpu_bytes: int
    pass_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Privacy:
    """What protected the run, what that guarantees, and what attacks got.

    `epsilon` and `delta` are of single records, `shop_epsilon` and `shop_delta` of whole shops; None without.
    """

    redaction: str
    epsilon: float | None
    delta: float | None
    secagg: bool
    attacks: Mapping[str, float]
    shop_epsilon: float | None = None
    shop_delta: float | None = None


@dataclass(frozen=True, slots=True)
class FailureRow:
    """One thing that went wrong; `shop_id` and `server_round` are None where it concerns none.

    `kind` is one of shop_dropped, shop_refused, round_skipped, batch_halved, host_restarted, teacher_error,
    teacher_gone, state_damaged.
    """

    kind: str
    reason: str
    server_round: int | None = None
    shop_id: str | None = None


@dataclass(frozen=True, slots=True)
class AggregationRow:
    """What one server round made of the shops' updates.

    Attributes:
        server_round: which.
        relative_error: ||s B A - W*|| / ||W*|| in Frobenius norm, W* the weighted mean of the shops' s_i B_i A_i. None
            where W* is zero and s B A is not, for adapters without A and B, and where a factor is every shop's own.
        rank: of the server's adapter; None without low-rank factors, and in older files.
        ranks: of the shops' updates, by shop.
        bytes_up, bytes_down: of the adapters that went over the wire in this round, of all shops together; None in
            older files.
        server_seconds: that the aggregator took, its report included; None in older files.
    """

    server_round: int
    relative_error: float | None
    rank: int | None = None
    ranks: Mapping[str, int] = field(default_factory=dict)
    bytes_up: int | None = None
    bytes_down: int | None = None
    server_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A finished run.

    Attributes:
        schema: of all files of the directory, as they were written.
        run_id: the states of its shops carry it too; empty in older runs.
        shops_on_their_own: the others answer with the server's last aggregate, if there is one.
        corpus, teacher: names of their classes.
        platform_share: None for a corpus that is not simulated.
        reading: what became of a corpus in a file; None for any other.
        cloud: what each phase asked: base, stream, final; empty in older runs.
        judge: who judged, and whether it could; None in older runs.
        kneser_ney_perplexity: of a Kneser-Ney character model on the shop's test replies; None where it has none. Empty
            in older runs, which tell that of a weaker model.
        profiles: by shop, what its training dialogues are like; empty in older runs.
    """

    schema: int
    run_id: str
    arm: str
    seed: int
    shops: tuple[str, ...]
    server_rounds: int
    cycles: int
    personal_rounds: int
    shops_on_their_own: tuple[str, ...]
    corpus: str
    platform_share: float | None
    language: str
    teacher: str
    kneser_ney_perplexity: Mapping[str, float | None]
    runtime: Runtime
    privacy: Privacy
    failures: tuple[FailureRow, ...]
    aggregation: tuple[AggregationRow, ...]
    versions: Mapping[str, str]
    reading: Reading | None = None
    cloud: Mapping[str, CloudCalls] = field(default_factory=dict)
    judge: JudgeInfo | None = None
    profiles: Mapping[str, ShopProfile] = field(default_factory=dict)
