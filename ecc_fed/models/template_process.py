"""Renders a chat template as transformers does, in a process of its own with little time and memory.

A template is code of whoever made the model. jinja2's sandbox keeps it from files and the network, not from looping
for ever or from filling the memory, and no thread can be stopped from outside. Run as a script, by `chat_template`:

stdin:  {"template": str, "chats": [{variable: value}], "cpu_seconds": int, "memory_bytes": int, "characters": int}
stdout: [[text, null] or [null, what the template or jinja2 says against the chat]], a pair for each chat
"""

from __future__ import annotations

import datetime
import json
import resource
import sys
from collections.abc import Callable
from typing import Any

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

# Some templates print today's date; a run must not depend on the day it is started.
_DATE = datetime.datetime(2024, 7, 26)


class _Generation(jinja2.ext.Extension):
    """`{% generation %}` marks what an assistant said; what is in it is rendered as it stands."""

    tags = {"generation"}  # noqa: RUF012  # jinja2's own protocol

    def parse(self, parser: Any) -> Any:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_as_it_stands"), [], [], body).set_lineno(line)

    def _as_it_stands(self, caller: Callable[[], str]) -> str:
        return caller()


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(value: Any, ensure_ascii: bool = False, **layout: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **layout)


def _environment() -> jinja2.Environment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _DATE.strftime
    return environment


_Answer = tuple[str | None, str | None]


def _refused(error: Exception) -> _Answer:
    return None, f"{type(error).__name__}: {error}"[:500]


def _rendered(template: jinja2.Template, chat: dict[str, Any], characters: int) -> _Answer:
    try:
        text = template.render(chat)
    except MemoryError:
        raise
    except Exception as error:  # whatever the template does
        return _refused(error)
    return (text, None) if len(text) <= characters else (None, f"its text is longer than {characters:,} characters")


def main() -> int:
    """Renders; returns 3 where the memory is not enough."""
    job = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (job["cpu_seconds"], job["cpu_seconds"]))
    if sys.platform != "darwin":  # macOS refuses a limit below what it has mapped already; time is limited there alone
        resource.setrlimit(resource.RLIMIT_AS, (job["memory_bytes"], job["memory_bytes"]))
    try:
        try:
            template = _environment().from_string(job["template"])
        except (jinja2.TemplateError, RecursionError) as error:
            answers = [_refused(error)] * len(job["chats"])
        else:
            answers = [_rendered(template, chat, job["characters"]) for chat in job["chats"]]
    except MemoryError:
        return 3
    json.dump(answers, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
