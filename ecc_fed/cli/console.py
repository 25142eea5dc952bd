"""The terminal: whatever is printed, it gets no command from text that came from outside."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ecc_fed.core.outside_text import visible


class TextConsole(Console):
    """rich's, but control characters inside texts are shown, not sent. rich's own, for colours and bars, are."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As `Console.render`."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))
