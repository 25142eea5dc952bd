"""What a run served, asked of the cloud and sent: sums over its rows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ecc_fed.core.rows import MetricRow
from ecc_fed.core.statistics import Estimate, Units, bootstrap_mean, weighted_mean
from ecc_fed.reporting.run import Flow, Run

# What is counted, by its name here.
_TEACHER: Mapping[str, Callable[[MetricRow], float]] = {
    "requests": lambda row: row.teacher_requests,
    "cached": lambda row: row.teacher_cached,
    "failed": lambda row: row.teacher_failed,
    "input_tokens": lambda row: row.input_tokens,
    "output_tokens": lambda row: row.output_tokens,
    "cost_usd": lambda row: row.cost_usd,
}
# Ledger (destination, direction) -> key. Whatever else goes to the aggregator (settings, metrics, what wraps a message)
# is adapter traffic.
TRAFFIC_KEYS = {
    ("aggregator", "up"): "adapter_up_bytes",
    ("aggregator", "down"): "adapter_down_bytes",
    ("cloud_teacher", "up"): "teacher_up_bytes",
    ("cloud_teacher", "down"): "teacher_down_bytes",
}
# What shops teach each other by in the place of adapters.
_PUBLIC_KINDS = {"public_queries", "public_replies", "agreed_replies"}
REPLIES_KEYS = {"up": "replies_up_bytes", "down": "replies_down_bytes"}
# What was asked only to score test replies stands apart: it is no cost of the arm.
EVALUATION_KEYS = {"up": "evaluation_up_bytes", "down": "evaluation_down_bytes"}


def _stream_rounds(run: Run) -> list[list[MetricRow]]:
    """Stream rows by server round, from round 1 to the last one that has rows."""
    rows = [row for row in run.metrics or () if row.split == "stream" and row.server_round >= 1]
    last = max((row.server_round for row in rows), default=0)
    return [
        sorted((row for row in rows if row.server_round == server_round), key=lambda row: row.shop_id)
        for server_round in range(1, last + 1)
    ]


def _judged(rows: Sequence[MetricRow]) -> bool:
    """Whether the escalation rate of these rows says anything: not where the cloud was asked and never answered."""
    return any(row.mean_score is not None for row in rows) or not any(row.teacher_requests for row in rows)


def serving(run: Run) -> dict[str, list[float | None]]:
    """Escalated / served, and the mean score weighted by queries served: a number per server round from 1.

    None where nothing was served, or no reply was judged.
    """
    rates: list[float | None] = []
    scores: list[float | None] = []
    for rows in _stream_rounds(run):
        served = sum(row.served for row in rows)
        rates.append(sum(row.escalated for row in rows) / served if served and _judged(rows) else None)
        scores.append(weighted_mean([row.mean_score for row in rows], [float(row.served) for row in rows]))
    return {"escalation_rate": rates, "mean_score": scores}


def escalation(runs: Sequence[Run], *, last: bool, seed: int) -> Estimate | None:
    """The escalation rate of the first or last server round over the queries of all runs, with its interval.

    It draws the shops of every run and queries within them: the rows count queries, and know no dialogues.
    None where no reply of that round was judged.
    """
    escalated: list[bool] = []
    shops: list[tuple[int, str]] = []
    for run in runs:
        rounds = _stream_rounds(run)
        rows = rounds[-1 if last else 0] if rounds else []
        if not _judged(rows):
            continue
        for row in rows:
            # A query escalates or not, so the counts are the queries.
            escalated += [query < row.escalated for query in range(row.served)]
            shops += [(run.seed, row.shop_id)] * row.served
    return bootstrap_mean(np.array(escalated, dtype=np.float64), Units(shops, range(len(shops))), seed)


def teacher(run: Run) -> dict[str, float | int | None]:
    """Requests, tokens and cost over all rounds and shops; None where no row tells."""
    return {key: sum(map(of, run.metrics)) if run.metrics else None for key, of in _TEACHER.items()}


def traffic(run: Run) -> dict[str, int | None]:
    """Bytes by destination and direction, evaluation apart; None where there is no ledger."""
    totals: dict[str, int | None] = dict.fromkeys(
        [*TRAFFIC_KEYS.values(), *REPLIES_KEYS.values(), *EVALUATION_KEYS.values()]
    )
    if run.traffic is None:
        return totals
    for key in totals:
        totals[key] = sum(num_bytes for flow, (num_bytes, _) in run.traffic.items() if _traffic_key(flow) == key)
    return totals


def _traffic_key(flow: Flow) -> str | None:
    if flow.evaluation:
        return EVALUATION_KEYS[flow.direction]
    if flow.kind in _PUBLIC_KINDS:
        return REPLIES_KEYS[flow.direction]
    return TRAFFIC_KEYS.get((flow.destination, flow.direction))


def kneser_ney(run: Run) -> dict[str, Any] | None:
    """A Kneser-Ney character model's perplexity per shop, and over all test characters."""
    known = {shop: x for shop, x in run.info.kneser_ney_perplexity.items() if x is not None and x > 0}
    if not known:
        return None
    rows = run.rows("final") or run.rows("base")
    characters = [float(sum(row.characters or 0 for row in rows if row.shop_id == shop)) for shop in known]
    logs = [float(np.log(x)) for x in known.values()]
    # Where no characters are known every shop counts alike.
    mean = weighted_mean(logs, characters if sum(characters) else None)
    return {"mean": None if mean is None else float(np.exp(mean)), "per_shop": known}
