"""Dialogues on their way through the gateway: what the cloud was sent, and what it told whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from ecc_fed.assembly.build import build_teacher
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.core.completion import Completion, TeacherPrompt
from ecc_fed.core.protocols import Redactor, Teacher
from ecc_fed.core.records import OrderRecord, RedactionCounts, TeacherRequest, Turn
from ecc_fed.privacy.ledger import MemoryLedger
from ecc_fed.teacher.gateway.gateway import Gateway
from experiments.privacy.dialogues import Dialogue
from experiments.privacy.disguise import SPLIT, disguised, halves
from experiments.privacy.scan import Haystack, squeezed


class Overheard:
    """The run's simulated teacher with somebody who notes all that it is sent."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self.prompts: list[TeacherPrompt] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._teacher, name)

    def complete(self, prompts: Sequence[TeacherPrompt], timeout_seconds: float) -> list[Completion]:
        """The teacher's completions."""
        self.prompts += prompts
        return self._teacher.complete(prompts, timeout_seconds)


@dataclass
class Leaks:
    """Values `said`, those found at the cloud by class, in how many dialogues, and replies that told another's."""

    said: int = 0
    leaked: Counter[str] = field(default_factory=Counter)
    dialogues: int = 0
    crossed: int = 0
    counts: RedactionCounts = field(default_factory=RedactionCounts)


def leaks_of(dialogues: Sequence[Dialogue], redactor: Redactor, form: str) -> Leaks:
    """Each dialogue is one question, its shop's other dialogues are the examples; values are written in `form`.

    The first half of a shop's dialogues are examples for the second, and the second for the first.
    """
    leaks = Leaks()
    teacher = Overheard(build_teacher(to_run_config(compose_run([]))))
    for _, shop in groupby(dialogues, key=lambda dialogue: dialogue.shop_id):
        own = list(shop)
        middle = len(own) // 2
        for asking, known in ((own[middle:], own[:middle]), (own[:middle], own[middle:])):
            if asking:
                _ask(asking, known, redactor, form, teacher, leaks)
    return leaks


def _ask(
    asking: Sequence[Dialogue],
    known: Sequence[Dialogue],
    redactor: Redactor,
    form: str,
    teacher: Overheard,
    leaks: Leaks,
) -> None:
    teacher.prompts.clear()
    gateway = Gateway(teacher, MemoryLedger(), redactor)  # type: ignore[arg-type]  # by __getattr__
    examples = [example for dialogue in known for example in _examples(dialogue, form)]
    requests = [
        TeacherRequest(
            shop_id=dialogue.shop_id,
            turns=_turns(dialogue, form),
            examples=tuple((question, answer) for question, answer, _ in examples),
            purpose="judge",
            customer=dialogue.customer,
            example_customers=tuple(customer for _, _, customer in examples),
        )
        for dialogue in asking
    ]
    replies = gateway.answer(requests)
    sent = {prompt.few_shot.text: Haystack(prompt.few_shot.text) for prompt in teacher.prompts}
    before = list(sent.values())
    # Equal prompts are sent once, so a question is looked for in all that were.
    asked = Haystack("\n".join(dict.fromkeys(prompt.dialogue for prompt in teacher.prompts)))
    for dialogue, haystacks in [*((each, [asked]) for each in asking), *((each, before) for each in known)]:
        found = [kind for kind, value in dialogue.said if any(each.holds(value) for each in haystacks)]
        leaks.said += len(dialogue.said)
        leaks.leaked.update(found)
        leaks.dialogues += bool(found)
    for dialogue, reply in zip(asking, replies, strict=True):
        leaks.counts += reply.redaction
        own = {squeezed(value) for _, value in (*dialogue.said, *_recorded(dialogue))}
        others = {squeezed(value) for other in known for _, value in other.said} - own
        told = squeezed(reply.text or "")
        leaks.crossed += any(value in told for value in others)


def _recorded(dialogue: Dialogue) -> tuple[tuple[str, str], ...]:
    return () if dialogue.customer is None else dialogue.customer.values()


def _turns(dialogue: Dialogue, form: str) -> tuple[Turn, ...]:
    """The dialogue up to its last question."""
    return tuple(turn for said in dialogue.pairs[-1].prompt for turn in _written(said, dialogue, form))


def _written(turn: Turn, dialogue: Dialogue, form: str) -> list[Turn]:
    values = [value for _, value in dialogue.said]
    if form != SPLIT:
        return [Turn(turn.role, disguised(turn.text, values, form))]
    if turn.role == "agent":  # shops write a number in one turn
        return [turn]
    return [Turn(turn.role, part) for part in halves(turn.text, values)]


def _examples(dialogue: Dialogue, form: str) -> list[tuple[str, str, OrderRecord | None]]:
    """The dialogue as few-shot examples; a question that is split makes two of them."""
    found = []
    for pair in dialogue.pairs:
        questions = _written(Turn("customer", pair.query), dialogue, form)
        (answer,) = _written(Turn("agent", pair.reply), dialogue, form)
        found += [(turn.text, "嗯嗯，您说", pair.customer) for turn in questions[:-1]]
        found.append((questions[-1].text, answer.text, pair.customer))
    return found
