"""What a call costs, at a teacher's rates."""

from __future__ import annotations

from ecc_fed.core.completion import Completion
from ecc_fed.core.protocols import Teacher


def cost_usd(teacher: Teacher, input_tokens: int, output_tokens: int) -> float:
    """Price of a call in US dollars."""
    return (
        input_tokens * teacher.input_usd_per_million_tokens + output_tokens * teacher.output_usd_per_million_tokens
    ) / 1e6


def cost_of_attempt(teacher: Teacher, completion: Completion) -> float:
    """What one attempt cost in US dollars: as its completion states, else by the teacher's rates."""
    if completion.cost_usd is not None:
        return completion.cost_usd
    return cost_usd(teacher, completion.input_tokens, completion.output_tokens)
