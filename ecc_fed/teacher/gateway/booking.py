"""What an attempt counts as: what its provider says it used, else the most that it was to use.

| | symbol | what it is |
|---|---|---|
| expected | e | the prompt's estimated tokens, and a reply of `max_output_tokens` |
| held back | 2 e | while the attempt is under way: estimates err, and some providers count thoughts beyond the limit |
| counted | u | what the provider states, if 0 <= u <= 2 e; else e |

So what is counted never passes what was held back, and no limit is ever passed (a teacher in this process is
believed). An attempt that may have been billed without our hearing of it (a time-out, a broken connection, an answer
that cannot be read) counts as e.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ecc_fed.core.completion import Completion, TeacherPrompt
from ecc_fed.core.protocols import Teacher
from ecc_fed.core.records import Outcome
from ecc_fed.teacher.cost import cost_of_attempt, cost_usd
from ecc_fed.teacher.gateway.budget import Spending

MARGIN = 2
# Rates that do not divide evenly leave a rounding error.
_SLACK = 1e-9
# Unless they state a usage, these say nothing of what the provider has billed.
_SILENT: frozenset[Outcome] = frozenset({"timeout", "malformed"})


def expected(teacher: Teacher, prompt: TeacherPrompt) -> Spending:
    """One attempt at `prompt` with a reply of full length."""
    tokens, reply_tokens = prompt.tokens, teacher.max_output_tokens
    return Spending(1, tokens + reply_tokens, cost_usd(teacher, tokens, reply_tokens))


def held_back(teacher: Teacher, prompt: TeacherPrompt) -> Spending:
    """The most that one attempt at `prompt` may count as."""
    most = expected(teacher, prompt)
    return Spending(1, MARGIN * most.tokens, MARGIN * most.cost_usd)


def booked(teacher: Teacher, prompt: TeacherPrompt, completion: Completion) -> Completion:
    """The completion with the tokens and the cost that it counts as, and a note where they are not the provider's."""
    note = completion.usage_note or _doubt(teacher, prompt, completion)
    if not note:
        return replace(completion, cost_usd=cost_of_attempt(teacher, completion), usage_known=True)
    return replace(
        completion,
        input_tokens=prompt.tokens,
        output_tokens=teacher.max_output_tokens,
        cost_usd=expected(teacher, prompt).cost_usd,
        usage_known=False,
        usage_note=note,
    )


def _doubt(teacher: Teacher, prompt: TeacherPrompt, completion: Completion) -> str:
    """Why the stated usage cannot be counted; empty where it can."""
    stated = (completion.input_tokens, completion.output_tokens)
    said = f"{stated[0]!r:.20} tokens in and {stated[1]!r:.20} out"
    if any(type(tokens) is not int or tokens < 0 for tokens in stated):
        return f"refused: {said}"
    if not teacher.remote:  # it counts here, and nobody bills
        return ""
    if stated[0] > MARGIN * prompt.tokens or stated[1] > MARGIN * teacher.max_output_tokens:
        return f"refused: {said}, where about {prompt.tokens} and at most {teacher.max_output_tokens} could be"
    cost = cost_of_attempt(teacher, completion)
    if not 0 <= cost <= held_back(teacher, prompt).cost_usd * (1 + _SLACK) or not math.isfinite(cost):
        return f"refused: a cost of {cost:.6g} US dollars"
    known = completion.usage_known
    if known is None:
        known = any(stated) or completion.outcome not in _SILENT
    return "" if known else "not stated"
