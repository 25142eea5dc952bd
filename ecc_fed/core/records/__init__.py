"""Frozen records that travel between rooms. Plain Python and numpy, so that every room can import them."""

from ecc_fed.core.records.answering import Asked, FromCloud, OwnExample
from ecc_fed.core.records.cloud import (
    Outcome,
    PseudoLabel,
    TeacherReply,
    TeacherRequest,
)
from ecc_fed.core.records.dialogues import (
    Assignment,
    OrderRecord,
    Pair,
    Role,
    Session,
    Shop,
    Split,
    Turn,
)
from ecc_fed.core.records.egress import EgressEntry, TeacherText, short_digest
from ecc_fed.core.records.end_model import (
    COUNTS,
    AdapterState,
    Array,
    Decoding,
    Example,
    FineTuneJob,
    FineTuneResult,
    FineTuneSettings,
    Likelihood,
    LikelihoodRequest,
    MeasuredReply,
    OptimizerState,
    ReplyRequest,
)
from ecc_fed.core.records.public import AgreedReply, PublicSet, QuerySource
from ecc_fed.core.records.redaction import Hidden, RedactionCounts, Restored
from ecc_fed.core.records.reports import (
    EvaluationReport,
)
from ecc_fed.core.records.tracking import TrackedNumber
from ecc_fed.core.records.verdicts import (
    Feedback,
    Judgement,
)

__all__ = [
    "COUNTS",
    "AdapterState",
    "AgreedReply",
    "Array",
    "Asked",
    "Assignment",
    "Decoding",
    "EgressEntry",
    "EvaluationReport",
    "Example",
    "Feedback",
    "FineTuneJob",
    "FineTuneResult",
    "FineTuneSettings",
    "FromCloud",
    "Hidden",
    "Judgement",
    "Likelihood",
    "LikelihoodRequest",
    "MeasuredReply",
    "OptimizerState",
    "OrderRecord",
    "Outcome",
    "OwnExample",
    "Pair",
    "PseudoLabel",
    "PublicSet",
    "QuerySource",
    "RedactionCounts",
    "ReplyRequest",
    "Restored",
    "Role",
    "Session",
    "Shop",
    "Split",
    "TeacherReply",
    "TeacherRequest",
    "TeacherText",
    "TrackedNumber",
    "Turn",
    "short_digest",
]
