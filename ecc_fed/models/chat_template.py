"""A model's chat template, rendered apart from this process, within limits on time, memory and size.

Rendered around placeholders in the place of what people wrote, so that a chat's shape decides its text: it is
rendered once for each shape, and the shapes of longer dialogues with it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecc_fed.core.errors import ModelError

CPU_SECONDS = 5
MEMORY_BYTES = 1 << 30
CHARACTERS = 1_000_000
# However busy the machine is.
_WALL_SECONDS = 120
_PROCESS = Path(__file__).with_name("template_process.py")
_REMEDY = "give the tokenizer another chat_template, or remove it to use the plain format"

_BLANK = "\u2003"
_PLACEHOLDER = re.compile(f"({_BLANK}?)\ue000(\\d+)\ue001({_BLANK}?)")

Chat = Sequence[dict[str, str]]


class TemplateRefusal(ModelError):
    """The template itself, or jinja2, says no to a chat."""


def placeholder(index: int) -> str:
    """Stands for the text of message `index`: private-use characters, which no template escapes.

    The blanks around them are gone where the template trims what it is given.
    """
    return f"{_BLANK}\ue000{index}\ue001{_BLANK}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chat's text prints message `index`, and whether it trims it at either end."""

    index: int
    trims_start: bool
    trims_end: bool

    def shown(self, content: str) -> str:
        """The message as the template shows it."""
        started = content.lstrip() if self.trims_start else content
        return started.rstrip() if self.trims_end else started


def take_apart(text: str) -> tuple[list[str], list[Place]]:
    """A chat's text around its placeholders, one piece more than there are places."""
    split = _PLACEHOLDER.split(text)
    places = zip(split[1::4], split[2::4], split[3::4], strict=True)
    return split[::4], [Place(int(index), not before, not after) for before, index, after in places]


def fill(text: str, contents: Sequence[str]) -> list[str]:
    """A chat's parts: at even places its own words, at odd ones what people wrote."""
    around, places = take_apart(text)
    parts = around[:1]
    for place, after in zip(places, around[1:], strict=True):
        parts += [place.shown(contents[place.index]), after]
    return parts


class ChatTemplates:
    """Texts of chats by their shape, for all templates of this process."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str | None, str | None]] = {}
        self._lock = threading.Lock()

    def render(
        self,
        tokenizer: Any,
        chat: Chat,
        variables: Mapping[str, Any] | None = None,
        next_ones: Callable[[], Sequence[Chat]] = tuple,
        opened: bool = True,
    ) -> str:
        """The text of a chat.

        Args:
            tokenizer: has the template and the special tokens that it may print.
            chat: messages of role and content.
            variables: what else the template may ask for.
            next_ones: chats that are likely to be asked for next, and are rendered with this one.
            opened: whether the agent's opening stands after it.

        Raises:
            TemplateRefusal: the template refuses the chat, or is wrong.
            ModelError: it needs more time, memory or characters than any chat template should, or none of several is
                the default.
        """
        template = _template(tokenizer)
        common = {**tokenizer.special_tokens_map, **(variables or {}), "add_generation_prompt": opened}
        common |= {"tools": None, "documents": None}
        key = _key(template, common, chat)
        with self._lock:
            if key not in self._known:
                chats = [chat, *next_ones()]
                found = _run(template, [{**common, "messages": each} for each in chats])
                self._known.update(zip([_key(template, common, each) for each in chats], found, strict=True))
            text, refusal = self._known[key]
        if text is None:
            raise TemplateRefusal(f"the model's chat template refuses a dialogue: {refusal}; {_REMEDY}")
        return text


def _template(tokenizer: Any) -> str:
    """The template that transformers takes."""
    known = tokenizer.chat_template
    if isinstance(known, dict) and "default" not in known:
        names = ", ".join(sorted(known))
        raise ModelError(f"the model's chat templates are named {names}, and none of them default; name one default")
    return str(tokenizer.get_chat_template())


def _key(template: str, common: Mapping[str, Any], chat: Chat) -> str:
    return json.dumps([template, common, chat], sort_keys=True)


def _run(template: str, chats: Sequence[Mapping[str, Any]]) -> list[tuple[str | None, str | None]]:
    job = {"template": template, "chats": chats, "cpu_seconds": CPU_SECONDS}
    job |= {"memory_bytes": MEMORY_BYTES, "characters": CHARACTERS}
    command = [sys.executable, "-P", str(_PROCESS)]
    try:
        done = subprocess.run(
            command, input=json.dumps(job).encode(), capture_output=True, timeout=_WALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"the model's chat template did not end in {_WALL_SECONDS} seconds; {_REMEDY}") from None
    if done.returncode == 0:
        return [(text, refusal) for text, refusal in json.loads(done.stdout)]
    if done.returncode == 3 or (done.returncode > 0 and b"MemoryError" in done.stderr):
        raise ModelError(f"the model's chat template needs more than {MEMORY_BYTES >> 20} MiB of memory; {_REMEDY}")
    if done.returncode < 0:
        raise ModelError(f"the model's chat template needs more than {CPU_SECONDS} seconds for a dialogue; {_REMEDY}")
    reason = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    raise ModelError(f"the model's chat template cannot be rendered ({' '.join(reason)}); {_REMEDY}")


TEMPLATES = ChatTemplates()
