"""A teacher whose behaviour is scripted, and the pieces around it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import fields

from ecc_fed.core.completion import Completion, Language, TeacherPrompt
from ecc_fed.core.records import Hidden, OrderRecord, Restored, TeacherRequest, Turn
from ecc_fed.privacy.ledger import MemoryLedger
from ecc_fed.privacy.redaction import NoRedaction
from ecc_fed.teacher.gateway.gateway import Gateway
from ecc_fed.teacher.gateway.settings import GatewaySettings
from ecc_fed.teacher.prompts import few_shot_part, prompt_after
from ecc_fed.teacher.wording import TABLE_TWO

EXAMPLES = (("发什么快递", "亲，默认发中通哦"), ("几天能到", "亲，一般三天到哦"))


def build_prompt(
    examples: Sequence[tuple[str, str]], turns: Sequence[Turn], language: Language = "zh"
) -> TeacherPrompt:
    return prompt_after(few_shot_part(examples, TABLE_TWO[language]), turns)


def ok(text: str, input_tokens: int = 10, output_tokens: int = 5, latency_seconds: float = 0.5) -> Completion:
    return Completion(text, "ok", "fake-1.0", input_tokens, output_tokens, latency_seconds)


def failed(outcome: str, retry_after_seconds: float | None = None) -> Completion:
    return Completion(
        None, outcome, "fake-1.0", latency_seconds=0.25, retry_after_seconds=retry_after_seconds, detail="scripted"
    )


class ScriptedTeacher:
    """Echoes the last turn; `script(prompt, attempt)` may say otherwise. Remembers what it was sent."""

    name = "scripted"
    model = "fake-model"
    remote = True
    input_usd_per_million_tokens = 1_000.0
    output_usd_per_million_tokens = 2_000.0
    max_output_tokens = 5

    def __init__(
        self,
        script: Callable[[TeacherPrompt, int], Completion | None] = lambda prompt, attempt: None,
        max_batch: int = 1,
    ) -> None:
        self.decoding = {"temperature": 0.5}
        self.max_batch = max_batch
        self.sent: list[str] = []
        self.batches: list[int] = []
        self._script = script
        self._attempts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def complete(self, prompts: Sequence[TeacherPrompt], timeout_seconds: float) -> list[Completion]:
        completions = []
        for prompt in prompts:
            with self._lock:
                self.sent.append(prompt.text)
                self._attempts[prompt.digest] += 1
                attempt = self._attempts[prompt.digest]
            scripted = self._script(prompt, attempt)
            completions.append(scripted if scripted is not None else ok(f"回复：{prompt.turns[-1].text}"))
        with self._lock:
            self.batches.append(len(prompts))
        return completions


def request(text: str, shop_id: str = "shop", **changes: object) -> TeacherRequest:
    fields = {"turns": (Turn("customer", text),), "examples": EXAMPLES, "purpose": "judge", "server_round": 1} | changes
    return TeacherRequest(shop_id=shop_id, **fields)


class Waits:
    """A sleep that only takes notes."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def gateway(teacher: object, **changes: object) -> tuple[Gateway, MemoryLedger, Waits]:
    ledger, waits = MemoryLedger(), Waits()
    own = {field.name: changes.pop(field.name) for field in fields(GatewaySettings) if field.name in changes}
    parts = {"redactor": NoRedaction(), "sleep": waits, "clock": lambda: 0.0} | changes
    return Gateway(teacher, ledger, settings=GatewaySettings(**own), **parts), ledger, waits


class StarSession:
    def __init__(self, turns: tuple[Turn, ...], values: dict[str, str]) -> None:
        self.turns = turns
        self.hidden = tuple(Hidden("star", value, mark) for mark, value in values.items())

    def restore(self, text: str) -> Restored:
        found = 0
        for each in self.hidden:
            found += text.count(each.placeholder)
            text = text.replace(each.placeholder, each.value)
        return Restored(text, found)


class StarRedactor:
    """Replaces known values by [1], [2], ...; a test double, not a defence."""

    name = "stars"

    def __init__(self) -> None:
        self.seen: list[tuple[Turn, ...]] = []

    def redact(self, turns: Sequence[Turn], known: OrderRecord | None) -> StarSession:
        self.seen.append(tuple(turns))
        looked_up = () if known is None else known.values()
        values = {f"[{number}]": value for number, (_, value) in enumerate(looked_up, start=1)}
        redacted = []
        for turn in turns:
            text = turn.text
            for mark, value in values.items():
                text = text.replace(value, mark)
            redacted.append(Turn(turn.role, text))
        return StarSession(tuple(redacted), values)
