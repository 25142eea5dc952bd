"""A teacher that greets, and a redactor that hides a known phone number from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecc_fed.core.completion import Completion, TeacherPrompt
from ecc_fed.core.records import Hidden, OrderRecord, Restored, Turn


class Greeter:
    """Says `greeting`, then the customer's own words."""

    name = "greeter"
    model = "greeter-1"
    remote = False
    max_batch = 8
    max_output_tokens = 64
    input_usd_per_million_tokens = 1.0
    output_usd_per_million_tokens = 2.0

    def __init__(self, greeting: str, seed: int) -> None:
        self.greeting = greeting
        self.decoding: Mapping[str, str | int | float] = {"greeting": greeting, "seed": seed}
        self.heard: list[str] = []

    def complete(self, prompts: Sequence[TeacherPrompt], timeout_seconds: float) -> list[Completion]:
        self.heard += [prompt.text for prompt in prompts]
        return [
            Completion(f"{self.greeting}{prompt.turns[-1].text}", "ok", self.model, prompt.tokens, 4)
            for prompt in prompts
        ]


@dataclass(frozen=True)
class Marked:
    turns: tuple[Turn, ...]
    hidden: tuple[Hidden, ...]

    def restore(self, text: str) -> Restored:
        for each in self.hidden:
            text = text.replace(each.placeholder, each.value)
        return Restored(text)


class HidePhone:
    """Puts `mark` in the place of the customer's phone number."""

    name = "hide-phone"

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def redact(self, turns: Sequence[Turn], known: OrderRecord | None) -> Marked:
        phone = "" if known is None else known.phone
        marked = [Turn(t.role, t.text.replace(phone, self.mark) if phone else t.text) for t in turns]
        return Marked(tuple(marked), (Hidden("phone", phone, self.mark),) if phone else ())
