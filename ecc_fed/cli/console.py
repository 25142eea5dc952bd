"""The terminal: whatever is printed, it gets no command from text that came from outside, and takes any letter."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ecc_fed.core.outside_text import visible


class TextConsole(Console):
    """rich's, but text is what it is, brackets and colons too, unless a call says `markup=True`.

    Control characters inside texts are shown, not sent. rich's own, for colours and bars, are.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, **options})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As `Console.render`."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def take_any_letter() -> None:
    r"""What a terminal's encoding lacks is shown as its escape, such as \u80fd; Python would end the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
