"""The seams between rooms. A user's own part is a class that satisfies one of these and a YAML file.

What may be brought so is named by `_target_` in the config:

config group        Protocol
teacher             Teacher
judge.similarity    SimilarityModel
judge.relevance     RelevanceModel
corpus              Corpus
partition           Partition
redaction           Redactor
feedback            FeedbackSource
study.view          StudyView
tracker             Tracker
arm                 Arm
arm.agreement       Agreement
answering           Answering
answering.encoder   TextEncoder
strategy            Aggregator
update              UpdateTransform, one for each name

The others part the rooms of the package from one another.
"""

from ecc_fed.core.protocols.answering import Answering
from ecc_fed.core.protocols.cloud import Teacher, TeacherGateway
from ecc_fed.core.protocols.corpus import AsksPublicly, Corpus, Partition
from ecc_fed.core.protocols.device import Device
from ecc_fed.core.protocols.end_model import EndModel
from ecc_fed.core.protocols.federation import (
    Aggregator,
    Agreement,
    Arm,
    NeedsShops,
    TeachesByReplies,
    UpdateTransform,
)
from ecc_fed.core.protocols.judging import FeedbackSource, Judge, RelevanceModel, SimilarityModel, TextEncoder
from ecc_fed.core.protocols.privacy import Ledger, RedactedSession, Redactor
from ecc_fed.core.protocols.study import StudyView
from ecc_fed.core.protocols.tracking import Tracker

__all__ = [
    "Aggregator",
    "Agreement",
    "Answering",
    "Arm",
    "AsksPublicly",
    "Corpus",
    "Device",
    "EndModel",
    "FeedbackSource",
    "Judge",
    "Ledger",
    "NeedsShops",
    "Partition",
    "RedactedSession",
    "Redactor",
    "RelevanceModel",
    "SimilarityModel",
    "StudyView",
    "Teacher",
    "TeacherGateway",
    "TeachesByReplies",
    "TextEncoder",
    "Tracker",
    "UpdateTransform",
]
