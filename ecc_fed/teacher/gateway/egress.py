"""What one attempt writes into the ledger."""

from __future__ import annotations

from typing import Literal

from ecc_fed.core.completion import Completion, TeacherPrompt
from ecc_fed.core.records import EgressEntry, TeacherRequest, TeacherText, short_digest
from ecc_fed.teacher.gateway.sending import Call

# Of an attempt that left, and of which nothing more was heard because the process ended.
INTERRUPTED = "interrupted"


def egress_entries(
    request: TeacherRequest, call: Call, attempt: int, completion: Completion | None, model: str, redaction: str
) -> list[EgressEntry]:
    """An entry for every part of the prompt, and one for the reply; parts of no bytes have none.

    `wire_bytes` of the query's entry is the body of the whole request, of the reply's that of the answer, whatever
    was in it. Digests are of the parts as they stand in the prompt (the instruction: what comes before the examples,
    then what comes after), and of the reply as it came.

    The entries "up" sum up to the bytes of the rendered prompt. An attempt that failed counts too:
    its prompt may well have arrived. Without a `completion` the attempt counts as interrupted.
    """
    prompt = call.prompt
    reply = "" if completion is None else completion.text or ""
    parts: list[tuple[Literal["up", "down"], str, int, str]] = [
        ("up", "instruction", prompt.few_shot.instruction_bytes, prompt.few_shot.instruction_digest),
        ("up", "few_shot_examples", prompt.few_shot.examples_bytes, prompt.few_shot.examples_digest),
        ("up", "query", prompt.query_bytes, prompt.query_digest),
        ("down", "reply", len(reply.encode()), short_digest(reply.encode())),
    ]
    details: dict[str, str | int | float] = {
        "model": model,
        "purpose": request.purpose,
        "call": call.key[:16],
        "attempt": attempt,
        "outcome": INTERRUPTED if completion is None else completion.outcome,
    }
    if completion is not None and completion.usage_note:
        details["usage"] = completion.usage_note
    if completion is not None and completion.cut:
        details["cut"] = completion.cut
    wire: dict[str, int] = {}
    if completion is not None:
        if completion.wire_up_bytes is not None:
            wire["query"] = completion.wire_up_bytes
        if completion.wire_down_bytes:
            wire["reply"] = completion.wire_down_bytes
    return [
        EgressEntry(
            shop_id=request.shop_id,
            server_round=request.server_round,
            destination="cloud_teacher",
            direction=direction,
            kind=kind,
            num_bytes=num_bytes,
            redaction=redaction,
            details={**details, "wire_bytes": wire[kind]} if kind in wire else details,
            digest=digest,
        )
        for direction, kind, num_bytes, digest in parts
        if num_bytes or kind in wire
    ]


def teacher_texts(shop_id: str, prompt: TeacherPrompt) -> list[TeacherText]:
    """The texts behind the entries "up" of every attempt at `prompt`."""
    few_shot = prompt.few_shot
    parts = [
        ("instruction", few_shot.instruction_digest, few_shot.instruction),
        ("few_shot_examples", few_shot.examples_digest, few_shot.examples_text),
        ("query", prompt.query_digest, prompt.dialogue),
    ]
    return [TeacherText(shop_id, kind, digest, text) for kind, digest, text in parts if text]
