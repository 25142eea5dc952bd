"""What left the shops of a finished run, by its ledger, and whether the texts that it kept are those that left.

    python -m experiments.privacy.ledger RUN

A line for every receiver, direction and kind: entries, bytes, and of how many the run keeps the text
(`privacy.keep_text`) with the digest and the length of the entry. The exit code is 1 where a text kept is not what the
ledger says, or where texts are kept and one of an entry is missing; and where a shop's own ledger of what went to the
server (`sent.jsonl`) lacks an answer that arrived.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ecc_fed.core.errors import EccError
from ecc_fed.core.records import EgressEntry, TeacherText, short_digest
from ecc_fed.core.rows import read_rows
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.evolution.sent import SENT, read_sent
from ecc_fed.teacher.gateway.probe import PROBE
from ecc_fed.teacher.gateway.texts import read_texts

# Sent in a shop's place by its host, or by Flower.
_NOT_ITS_OWN = "error"
Way = tuple[str, str, str]
_MOST_LINES = 20


@dataclass
class Line:
    """One receiver, direction and kind."""

    entries: int = 0
    num_bytes: int = 0
    with_text: int = 0


@dataclass
class Found:
    """Lines in the ledger's order; `wrong` names what does not fit; `lost` counts answers that left and never came."""

    lines: dict[Way, Line] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    lost: int = 0


def check(directory: RunDirectory) -> Found:
    """The ledger of a run, held against all that is kept of what left.

    Raises:
        RunDirectoryError: a file is missing or broken.
    """
    entries, texts = read_rows(directory.egress, EgressEntry), read_texts(directory.teacher_texts)
    found = Found()
    kept = {(text.shop_id, text.kind, text.digest): text for text in texts}
    for text in texts:
        if short_digest(text.text.encode()) != text.digest:
            found.wrong.append(f"{text.shop_id}: a text of kind {text.kind} has not the digest {text.digest}")
    for entry in entries:
        line = found.lines.setdefault((entry.destination, entry.direction, entry.kind), Line())
        line.entries += 1
        line.num_bytes += entry.num_bytes
        if (entry.destination, entry.direction) == ("cloud_teacher", "up") and texts and entry.shop_id != PROBE:
            own = kept.get((entry.shop_id, entry.kind, entry.digest))
            line.with_text += own is not None
            found.wrong += _unlike(entry, own)
    _hold_against_shops(directory, entries, found)
    return found


def _unlike(entry: EgressEntry, text: TeacherText | None) -> list[str]:
    what = f"{entry.shop_id}, round {entry.server_round}, {entry.kind} {entry.digest}"
    if text is None:
        return [f"{what}: its text is not kept"]
    size = len(text.text.encode())
    return [] if size == entry.num_bytes else [f"{what}: {entry.num_bytes} bytes, and {size} are kept"]


def _hold_against_shops(directory: RunDirectory, entries: Sequence[EgressEntry], found: Found) -> None:
    """Each answer of a shop is written twice: by the shop before it leaves, and by the server when it comes."""
    arrived: dict[str, Counter[tuple[int, str, str]]] = {}
    for entry in entries:
        if (entry.destination, entry.direction) == ("aggregator", "up"):
            arrived.setdefault(entry.shop_id, Counter())[_place(entry)] += 1
    failed = {(e.shop_id, e.server_round) for e in entries if e.kind == _NOT_ITS_OWN}
    for shop_id, came in arrived.items():
        folder = directory.shop(shop_id)
        if not (folder / SENT).exists():
            continue
        left = Counter(map(_place, read_sent(folder)))
        missing = [place for place in came - left if (shop_id, place[0]) not in failed]
        found.wrong += [f"{shop_id}, round {place[0]}: {place[1]} {place[2]} came and never left" for place in missing]
        found.lost += sum(count for place, count in (left - came).items() if place[1] == "envelope")


def _place(entry: EgressEntry) -> tuple[int, str, str]:
    return entry.server_round, entry.kind, entry.digest


def table(found: Found) -> list[str]:
    """The lines of a Markdown table."""
    rows = ["| receiver | way | kind | entries | bytes | text kept and checked |", "|---|---|---|---|---|---|"]
    rows += [
        f"| {destination} | {direction} | {kind} | {line.entries:,} | {line.num_bytes:,} | {line.with_text or '–'} |"
        for (destination, direction, kind), line in sorted(found.lines.items())
    ]
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table and all that is wrong; returns 1 if anything is."""
    parser = argparse.ArgumentParser(prog="python -m experiments.privacy.ledger", description=__doc__)
    parser.add_argument("run", type=Path, help="a run's folder")
    given = parser.parse_args(arguments)
    try:
        found = check(RunDirectory(given.run))
    except EccError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(table(found)))
    if found.lost:
        print(f"{found.lost} answers of shops left and never arrived, or were sent again.")
    print("\n".join(found.wrong[:_MOST_LINES]) or "Nothing is wrong.")
    if len(found.wrong) > _MOST_LINES:
        print(f"... {len(found.wrong)} lines in all.")
    return bool(found.wrong)


if __name__ == "__main__":
    sys.exit(main())
