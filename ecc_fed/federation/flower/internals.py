"""The parts of Flower that are not public, all of them, so that one test can watch them.

Flower creates the process identity, the run and the message ids inside its own engines. An engine
of our own has to do the same; and the ledger counts a message by the protobuf that Flower writes.
Nothing else here reaches below Flower's public names.
"""

from __future__ import annotations

import os
import uuid
from typing import Any

import httpx
from flwr.app import Message
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.common.serde import config_record_to_proto, metric_record_to_proto
from flwr.common.serde_utils import metadata_to_proto
from flwr.proto.error_pb2 import Error as ProtoError
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.recorddict_pb2 import Array as ProtoArray
from flwr.proto.recorddict_pb2 import ArrayRecord as ProtoArrayRecord
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecordDict
from flwr.supercore import telemetry
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

__all__ = [
    "CLIENT_APP_RAISED",
    "LINK_ERRORS",
    "NODE_UNAVAILABLE",
    "SERVER_NODE_ID",
    "SUPPORTED_FLOWER",
    "ProtoArray",
    "ProtoArrayRecord",
    "ProtoError",
    "ProtoMessage",
    "ProtoRecordDict",
    "apply_telemetry_setting",
    "config_record_to_proto",
    "identify_process",
    "metadata_to_proto",
    "metric_record_to_proto",
    "new_run",
    "stamp",
]

# Versions (major, minor) whose private parts behave as used here.
SUPPORTED_FLOWER = ((1, 41),)

CLIENT_APP_RAISED = ErrorCode.CLIENT_APP_RAISED_EXCEPTION
NODE_UNAVAILABLE = ErrorCode.NODE_UNAVAILABLE
SERVER_NODE_ID = SUPERLINK_NODE_ID
# What Flower's grid raises where the link is at fault and no reply.
LINK_ERRORS = (httpx.HTTPError, OSError)


def identify_process(run_id: int) -> None:
    """Makes this process the server's, so that `Message(...)` can be created in it."""
    TaskIdentity.run_id = run_id
    TaskIdentity.node_id = SERVER_NODE_ID
    TaskIdentity.task_id = run_id


def new_run(run_id: int) -> Any:
    """An empty run record, which a `Grid` must carry."""
    return Run.create_empty(run_id)


def stamp(message: Message) -> str:
    """Gives `message` a fresh id, as Flower's link does when it stores one, and returns it."""
    message_id = str(uuid.uuid4())
    message.metadata.__dict__["_message_id"] = message_id
    return message_id


def apply_telemetry_setting() -> None:
    """Flower reads FLWR_TELEMETRY_ENABLED when it is imported; this reads it again."""
    telemetry.FLWR_TELEMETRY_ENABLED = os.environ.get("FLWR_TELEMETRY_ENABLED", "1")
