"""What a run directory holds: one frozen dataclass for each kind of row, written and read by it.

| file | dataclass |
|---|---|
| `run.json` | `RunInfo` |
| `samples.jsonl`, `shops/<shop_id>/evaluation_*/samples.jsonl` | `SampleRow` |
| `metrics.jsonl`, `shops/<shop_id>/round_*/metrics.jsonl` | `MetricRow` |
| `updates.jsonl` | `UpdateRow` |
| `agreed.jsonl` | `AgreedRow` |
| `cross/rows.jsonl` | `CrossRow` |
| `attacks/rows.jsonl` | `AttackRow` |
| `egress.jsonl` and every shop's own | `core.records.EgressEntry` |
| `teacher_texts.jsonl` and every shop's own | `core.records.TeacherText` |
| `shops/<shop_id>/chat/round_*/lessons.jsonl` | `LessonRow` |

A shop's `state.json` and `evaluation.json` and a chat's `marks.jsonl` are written by dataclasses of `evolution`, its
`open_calls.jsonl` by `teacher.gateway.journal`, `probes.jsonl` by `teacher.gateway.probe`, and `server/hosts.json` by
`runs.kept_hosts`.

`SCHEMA` covers them all; it stands in `run.json`, and in each shop's `state.json` and `evaluation.json`.
"""

from ecc_fed.core.rows.agreed import AgreedRow
from ecc_fed.core.rows.attack import AttackName, AttackRow, AttackTarget
from ecc_fed.core.rows.cloud_calls import CloudCalls, calls_of, redaction_of
from ecc_fed.core.rows.codec import decode, encode
from ecc_fed.core.rows.cross import CrossRow
from ecc_fed.core.rows.files import append_rows, append_unsynced, read_record, read_rows, write_record, write_rows
from ecc_fed.core.rows.judge import JudgeInfo, ShopRelevance
from ecc_fed.core.rows.lesson import LessonRow
from ecc_fed.core.rows.metric import MetricRow
from ecc_fed.core.rows.reading import BrokenLineRow, Reading, StepRow
from ecc_fed.core.rows.run_info import AggregationRow, FailureRow, Privacy, RunInfo, Runtime
from ecc_fed.core.rows.sample import EvaluationPhase, FactRow, Phase, SampleRow, Signals
from ecc_fed.core.rows.schema import SCHEMA, check_schema, lifts, read_run_info
from ecc_fed.core.rows.served_facts import ServedFacts
from ecc_fed.core.rows.shop_profile import ShopProfile
from ecc_fed.core.rows.update import UpdateRow

__all__ = [
    "SCHEMA",
    "AggregationRow",
    "AgreedRow",
    "AttackName",
    "AttackRow",
    "AttackTarget",
    "BrokenLineRow",
    "CloudCalls",
    "CrossRow",
    "EvaluationPhase",
    "FactRow",
    "FailureRow",
    "JudgeInfo",
    "LessonRow",
    "MetricRow",
    "Phase",
    "Privacy",
    "Reading",
    "RunInfo",
    "Runtime",
    "SampleRow",
    "ServedFacts",
    "ShopProfile",
    "ShopRelevance",
    "Signals",
    "StepRow",
    "UpdateRow",
    "append_rows",
    "append_unsynced",
    "calls_of",
    "check_schema",
    "decode",
    "encode",
    "lifts",
    "read_record",
    "read_rows",
    "read_run_info",
    "redaction_of",
    "write_record",
    "write_rows",
]
