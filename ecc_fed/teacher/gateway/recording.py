"""Writes the attempts of one `answer` into the journals of their shops, and their texts where these are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ecc_fed.core.completion import Completion
from ecc_fed.core.protocols import Teacher
from ecc_fed.core.records import TeacherRequest
from ecc_fed.teacher.gateway.booking import expected
from ecc_fed.teacher.gateway.budget import Spending
from ecc_fed.teacher.gateway.egress import egress_entries, teacher_texts
from ecc_fed.teacher.gateway.journal import AttemptLine, CallJournal
from ecc_fed.teacher.gateway.sending import Call
from ecc_fed.teacher.gateway.texts import KeptTexts


class JournalLog:
    """A `Log` over a `CallJournal`.

    Args:
        journal: of the shops that ask.
        teacher: only what leaves the process is noted before it does.
        requests: by `id` of the call.
        redaction: what the prompts passed.
        texts: keeps them, whatever the teacher; None: nobody does.
    """

    def __init__(
        self,
        journal: CallJournal,
        teacher: Teacher,
        requests: Mapping[int, TeacherRequest],
        redaction: str,
        texts: KeptTexts | None = None,
    ) -> None:
        self._journal = journal
        self._teacher = teacher
        self._requests = requests
        self._redaction = redaction
        self._texts = texts

    def before(self, calls: Sequence[Call]) -> None:
        """A line for every attempt that is about to leave the process; its text too, where that is kept."""
        if self._texts is not None:
            for call in calls:
                self._texts.keep(teacher_texts(self._requests[id(call)].shop_id, call.prompt))
        if self._teacher.remote:
            self._write(calls, [None] * len(calls))

    def after(self, calls: Sequence[Call], completions: Sequence[Completion]) -> None:
        """A line for every attempt that ended."""
        self._write(calls, completions)

    def _write(self, calls: Sequence[Call], completions: Sequence[Completion | None]) -> None:
        lines: dict[str, list[AttemptLine]] = {}
        for call, completion in zip(calls, completions, strict=True):
            shop_id = self._requests[id(call)].shop_id
            if tag := self._journal.tag(shop_id):
                lines.setdefault(shop_id, []).append(self._line(tag, call, completion))
        for shop_id, of_shop in lines.items():
            self._journal.write(shop_id, of_shop)

    def _line(self, tag: str, call: Call, completion: Completion | None) -> AttemptLine:
        if completion is None:
            spent = expected(self._teacher, call.prompt)
        else:
            spent = Spending(1, completion.input_tokens + completion.output_tokens, completion.cost_usd or 0.0)
        attempt, request = call.attempts + 1, self._requests[id(call)]
        entries = egress_entries(request, call, attempt, completion, self._teacher.model, self._redaction)
        return AttemptLine(tag, call.key, attempt, spent, tuple(entries), completion)
