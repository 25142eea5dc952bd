"""The one way to the cloud: redact -> prompt -> journal -> cache -> budget -> send -> ledger -> restore.

Whatever stands behind it (simulated, a provider's model, a model of one's own) is a `Teacher`, and
nothing of a shop reaches it but through here. Results and ledger keep the order of the requests.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ecc_fed.core.completion import Completion, FewShotPart, TeacherPrompt
from ecc_fed.core.protocols import Ledger, RedactedSession, Redactor, Teacher
from ecc_fed.core.records import TeacherReply, TeacherRequest
from ecc_fed.privacy.redaction.others import Others
from ecc_fed.teacher.gateway.budget import Budget
from ecc_fed.teacher.gateway.cache import CachedReply, ReplyCache, cache_key
from ecc_fed.teacher.gateway.egress import egress_entries
from ecc_fed.teacher.gateway.examples import Customers, Examples, redacted_examples
from ecc_fed.teacher.gateway.journal import CallJournal
from ecc_fed.teacher.gateway.recording import JournalLog
from ecc_fed.teacher.gateway.replies import reply_from_cache, reply_of_call, restored, stored_form
from ecc_fed.teacher.gateway.retry import RetryPolicy
from ecc_fed.teacher.gateway.sending import Call, Sender
from ecc_fed.teacher.gateway.settings import UNLIMITED, GatewaySettings
from ecc_fed.teacher.gateway.silence import Silence
from ecc_fed.teacher.gateway.texts import KeptTexts
from ecc_fed.teacher.prompts import few_shot_part, one_line, prompt_after
from ecc_fed.teacher.wording import TABLE_TWO, PromptLayout

# Sets of examples (about one per shop) whose redacted form is kept, so that it is made once.
_REMEMBERED_SHOPS = 256


@dataclass(frozen=True)
class _Asked:
    """One request, ready to go."""

    request: TeacherRequest
    session: RedactedSession
    others: Others
    prompt: TeacherPrompt
    key: str

    @property
    def place(self) -> tuple[str, str]:
        """Requests of one shop with one prompt are one call."""
        return self.request.shop_id, self.key


class Gateway:
    """A `TeacherGateway` over any `Teacher`.

    Args:
        teacher: the model.
        ledger: gets an entry for every part of every attempt that is sent, and for every reply.
        redactor: what turns and examples pass first.
        settings: timeout, parallel calls and language, and what cache, budget and retries are by default.
        cache: replies known already. Equal prompts of a shop within one `answer` are sent once even without.
        budget: upper limits.
        retry: when failed attempts are tried again.
        journal: of the shops' open calls: what was asked before, in work that is done again, is not asked twice.
        layout: the words around the dialogues; None is the paper's Table II in the settings' language.
        sleep: waits for a number of seconds.
        clock: seconds, from any start.
    """

    def __init__(
        self,
        teacher: Teacher,
        ledger: Ledger,
        redactor: Redactor,
        settings: GatewaySettings = UNLIMITED,
        *,
        cache: ReplyCache | None = None,
        budget: Budget | None = None,
        retry: RetryPolicy | None = None,
        journal: CallJournal | None = None,
        layout: PromptLayout | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = teacher.name
        self.budget = settings.budget() if budget is None else budget
        self._teacher = teacher
        self._ledger = ledger
        self._redactor = redactor
        self._cache = settings.cache() if cache is None else cache
        self._layout = TABLE_TWO[settings.language or "zh"] if layout is None else layout
        self.journal = CallJournal() if journal is None else journal
        # Keeps what leaves, word for word, where that is wished for.
        self.texts: KeptTexts | None = None
        retry = settings.retry() if retry is None else retry
        timeout, parallel = settings.timeout_seconds, settings.max_parallel
        self._silence = Silence()
        self._sender = Sender(teacher, self.budget, retry, timeout, parallel, sleep, clock)
        self._few_shot = lru_cache(maxsize=_REMEMBERED_SHOPS)(self._redacted_few_shot)

    def answer(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        """One reply for every request, in order; what went wrong with one is its `outcome`.

        Raises:
            TeacherError: the cache cannot be used. What was sent until then is in the ledger.
        """
        asked = [self._prepared(request) for request in requests]
        first = {item.place: item for item in reversed(asked) if isinstance(item, _Asked)}
        recorded = {place: self.journal.take(*place) for place in first}
        known = self._known([place for place in first if not recorded[place]])
        calls: dict[tuple[str, str], Call] = {}
        for item in asked:
            if isinstance(item, _Asked) and item.place not in known and item.place not in calls:
                phase = self.journal.tag(item.request.shop_id)
                calls[item.place] = Call(item.key, item.prompt, phase=phase, recorded=deque(recorded[item.place]))
        self._send(first, calls)
        replies, paid = [], set()
        for item in asked:
            if isinstance(item, TeacherReply):
                replies.append(item)
            elif item.place in known:
                replies.append(restored(item.session, item.others, reply_from_cache(known[item.place])))
            else:
                reply = reply_of_call(calls[item.place], repeated=item.place in paid)
                paid.add(item.place)
                replies.append(restored(item.session, item.others, reply))
        return replies

    def remember(self, replies: Sequence[tuple[str, str, Completion]]) -> None:
        """Puts replies that were paid for before, as (shop_id, key, completion), into the cache, if there is one.

        Raises:
            TeacherError: the cache cannot be used.
        """
        if self._cache is not None:
            self._cache.put([(shop, key, stored_form(c.text, c)) for shop, key, c in replies if c.text is not None])

    def _prepared(self, request: TeacherRequest) -> _Asked | TeacherReply:
        """The redacted prompt; where redaction fails nothing may leave, so the request ends here."""
        try:
            few_shot, others = self._few_shot(request.examples, request.example_customers)
            session = self._redactor.redact(request.turns, request.customer)
            prompt = prompt_after(few_shot, session.turns)
            key = cache_key(self._teacher.model, self._teacher.decoding, prompt)
            return _Asked(request, session, others, prompt, key)
        except Exception as error:
            return TeacherReply(
                None, "error", "", detail=one_line(f"nothing was sent: {type(error).__name__}: {error}")
            )

    def _redacted_few_shot(self, examples: Examples, customers: Customers) -> tuple[FewShotPart, Others]:
        redacted, others = redacted_examples(self._redactor, examples, customers)
        return few_shot_part(redacted, self._layout), others

    def _known(self, places: list[tuple[str, str]]) -> dict[tuple[str, str], CachedReply]:
        if self._cache is None:
            return {}
        keys: dict[str, list[str]] = {}
        for shop_id, key in places:
            keys.setdefault(shop_id, []).append(key)
        found = {shop_id: self._cache.get(shop_id, wanted) for shop_id, wanted in keys.items()}
        return {(shop_id, key): reply for shop_id, replies in found.items() for key, reply in replies.items()}

    def _send(self, first: dict[tuple[str, str], _Asked], calls: dict[tuple[str, str], Call]) -> None:
        places = {id(call): place for place, call in calls.items()}
        requests = {number: first[place].request for number, place in places.items()}
        redaction = self._redactor.name

        def after_attempt(attempts: list[tuple[Call, Completion]]) -> None:
            for call, completion in attempts:
                request = requests[id(call)]
                for entry in egress_entries(request, call, call.attempts, completion, self._teacher.model, redaction):
                    self._ledger.record(entry)
            self.remember([(*places[id(call)], completion) for call, completion in attempts])

        log = JournalLog(self.journal, self._teacher, requests, redaction, self.texts)
        wanted = list(calls.values())
        if self._silence.gone:
            self._sender.send(wanted[:1], log, after_attempt)
            self._silence.note(wanted[:1])
            wanted = wanted[1:]
        if self._silence.gone:
            self._silence.refuse(wanted)
        else:
            self._sender.send(wanted, log, after_attempt)
            self._silence.note(wanted)
