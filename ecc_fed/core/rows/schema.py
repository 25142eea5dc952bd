"""Which version wrote a run directory, and how an older one's rows read today."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.core.rows.codec import decode
from ecc_fed.core.rows.files import Lift
from ecc_fed.core.rows.metric import MetricRow
from ecc_fed.core.rows.run_info import RunInfo
from ecc_fed.core.rows.sample import SampleRow
from ecc_fed.core.run_directory import read_json

# 2: `runtime.cohort` is called `runtime.shops_per_batch`, `runtime.cohort_reason` `runtime.batch_reason`; every row
# has all its keys; the shops' states carry the schema.
# 3: `run.json` names the run's id; a shop's evaluation is a folder, and its states are tied to run, shop and dialogues.
# 4: a sample's row names its dialogue, may hold the teacher's, the human agent's or another human reply, and has the
# device's signals and the router's confidence; a fact's row counts how often it was taught, and since when it holds;
# `bigram_perplexity` gave way to `kneser_ney_perplexity`.
# A round's aggregation tells ranks and bytes, a cycle's row how right its replies were, and `run.json` every shop's
# profile, and the ledger digests; where they are missing they were not told.
SCHEMA = 4
_READABLE = (1, 2, 3, SCHEMA)
_RENAMED = {"cohort": "shops_per_batch", "cohort_reason": "batch_reason"}
_NEVER_COUNTED: dict[str, Any] = {"taught": None, "days_since_change": None}
_UNMEASURED: Mapping[str, Any] = {"signals": None, "confidence": None}
_SERVED_NOBODY: Mapping[str, Any] = {
    "served": 0,
    "escalated": 0,
    "unhappy": 0,
    "mean_score": None,
    "pseudo_labels": 0,
    "natural_pairs": 0,
    "teacher_requests": 0,
    "teacher_cached": 0,
    "teacher_failed": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "cost_usd": 0.0,
    "serve_seconds": 0.0,
}


def _lift_info(info: Mapping[str, Any], schema: int) -> dict[str, Any]:
    runtime = info.get("runtime")
    if schema == 1 and isinstance(runtime, Mapping):
        runtime = {_RENAMED.get(key, key): value for key, value in runtime.items()}
    # What an older run tells is a smoothed bigram's, another yardstick.
    kept = {key: value for key, value in info.items() if key != "bigram_perplexity"}
    return {"run_id": "", "kneser_ney_perplexity": {}, **kept, "runtime": runtime}


def _lift_sample(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Nobody wrote down the dialogues: every pair counts as one of its own."""
    lifted = {"extra": False, "session_id": row.get("pair_id"), **_UNMEASURED, **row}
    if isinstance(facts := row.get("facts"), list):
        lifted["facts"] = [_NEVER_COUNTED | fact if isinstance(fact, dict) else fact for fact in facts]
    return lifted


def _lift_metric(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**_SERVED_NOBODY, **row} if row.get("split") == "warm_start" else row


def lifts(schema: int) -> Mapping[type, Lift]:
    """By dataclass, what turns a row of `schema` into one of this version; the others read as they stand."""
    if schema == SCHEMA:
        return {}
    return {SampleRow: _lift_sample, MetricRow: _lift_metric} if schema == 1 else {SampleRow: _lift_sample}


def read_run_info(path: Path) -> RunInfo:
    """`run.json`, of this version or an older one; its `schema` tells which.

    Raises:
        RunDirectoryError: the file is missing, of a schema that this version does not read, or broken.
    """
    info: Mapping[str, Any] = read_json(path)
    schema = info.get("schema")
    if type(schema) is not int or schema not in _READABLE:
        raise RunDirectoryError(
            f"{path}: schema {schema!r}, and this version reads schemas {', '.join(map(str, _READABLE))}; "
            "run it again, or use the version that wrote it"
        )
    return decode(RunInfo, info if schema == SCHEMA else _lift_info(info, schema), str(path))


def check_schema(schema: object, what: str) -> None:
    """Refuses what another version wrote, for uses that need today's files.

    Raises:
        RunDirectoryError: names `what`, both versions and the remedy.
    """
    if schema != SCHEMA:
        older = not isinstance(schema, int) or schema < SCHEMA
        raise RunDirectoryError(
            f"{what} was written by {'an older' if older else 'a newer'} version (schema {schema}, this one writes "
            f"{SCHEMA}); run it again"
        )
