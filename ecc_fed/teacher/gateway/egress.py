"""What one attempt writes into the ledger."""

from __future__ import annotations

from typing import Literal

from ecc_fed.core.completion import Completion
from ecc_fed.core.records import EgressEntry, TeacherRequest
from ecc_fed.teacher.gateway.sending import Call


def egress_entries(
    request: TeacherRequest, call: Call, completion: Completion, model: str, redaction: str
) -> list[EgressEntry]:
    """An entry for every part of the prompt, and one for the reply; parts of no bytes have none.

    The entries "up" sum up to the bytes of the rendered prompt. An attempt that failed counts too:
    its prompt may well have arrived.
    """
    prompt = call.prompt
    parts: list[tuple[Literal["up", "down"], str, int]] = [
        ("up", "instruction", prompt.few_shot.instruction_bytes),
        ("up", "few_shot_examples", prompt.few_shot.examples_bytes),
        ("up", "query", prompt.query_bytes),
        ("down", "reply", len((completion.text or "").encode())),
    ]
    details: dict[str, str | int | float] = {
        "model": model,
        "purpose": request.purpose,
        "call": call.key[:16],
        "attempt": call.attempts,
        "outcome": completion.outcome,
    }
    return [
        EgressEntry(
            shop_id=request.shop_id,
            server_round=request.server_round,
            destination="cloud_teacher",
            direction=direction,
            kind=kind,
            num_bytes=num_bytes,
            redaction=redaction,
            details=details,
        )
        for direction, kind, num_bytes in parts
        if num_bytes
    ]
