"""A run's ledger against the books of the teacher that it asked."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from ecc_fed.core.records import EgressEntry
from ecc_fed.core.rows import read_rows
from ecc_fed.core.run_directory import RunDirectory
from experiments.reliability.equal import repeatable

INTERRUPTED = "interrupted"


def _asked(run: Path) -> list[EgressEntry]:
    entries = read_rows(RunDirectory(run).egress, EgressEntry)
    return [one for one in entries if one.destination == "cloud_teacher" and one.kind == "query"]


def ledger(run: Path) -> list[EgressEntry]:
    """What a run sent, but for what being stopped adds to it: calls that were under way, and a probe for each start.

    Digests are left out where chance has a part in the bytes.
    """
    entries = read_rows(RunDirectory(run).egress, EgressEntry)
    return repeatable(
        one for one in entries if one.details.get("outcome") != INTERRUPTED and one.details.get("purpose") != "probe"
    )


def interrupted(run: Path) -> int:
    """Attempts that were under way when a process of the run ended."""
    return sum(one.details["outcome"] == INTERRUPTED for one in _asked(run))


def unlike_books(run: Path, books: Path) -> list[str]:
    """Where they disagree; empty where every request stands in both, with the bytes of its body.

    A request that was under way when a process was killed stands in the ledger as interrupted, whether it arrived or
    not: as many may be in the server's books without another entry here.
    """
    ours = Counter(int(one.details["wire_bytes"]) for one in _asked(run) if one.details["outcome"] != INTERRUPTED)
    text = books.read_text(encoding="utf-8") if books.exists() else ""
    theirs = Counter(json.loads(line)["up"] for line in text.splitlines())
    wrong = []
    if missing := ours - theirs:
        wrong.append(f"the ledger has {missing.total()} requests that never arrived")
    unknown = (theirs - ours).total()
    if unknown > interrupted(run):
        wrong.append(f"{unknown} requests arrived that the ledger lacks; {interrupted(run)} were under way at a kill")
    return wrong
