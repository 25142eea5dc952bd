"""What stands in the project's Markdown: links, headings, and commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The text for users; commands are looked for here.
TEXTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINKED = [*TEXTS, *sorted((ROOT / "experiments").rglob("README.md"))]

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


def links(text: str) -> list[str]:
    """Where a text points, the web aside."""
    found = _LINK.findall(_FENCE.sub("", text))
    return [link for link in found if not re.match(r"https?:|mailto:", link)]


def anchors(text: str) -> set[str]:
    """What GitHub calls the headings of a text."""
    names: dict[str, int] = {}
    found = set()
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")
        found.add(f"{name}-{names[name]}" if name in names else name)
        names[name] = names.get(name, 0) + 1
    return found


def broken(page: Path, text: str) -> list[str]:
    """The links of a page that point at nothing."""
    faults = []
    for link in links(text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_relative_to(ROOT) or not target.exists():
            faults.append(f"{link}: no such file")
        elif anchor and (target.suffix != ".md" or anchor not in anchors(target.read_text(encoding="utf-8"))):
            faults.append(f"{link}: no such heading")
    return faults


def commands(text: str) -> Iterator[list[str]]:
    """The words behind `ecc-fed`, of every such line in a block and every such piece of code in a sentence."""
    for block in _FENCE.findall(text):
        for line in block.splitlines():
            # A remark stands behind the command.
            if line.startswith("ecc-fed "):
                yield shlex.split(line, comments=True)[1:]
    for code in _CODE.findall(_FENCE.sub("", text)):
        if code.startswith("ecc-fed "):
            yield shlex.split(code)[1:]
