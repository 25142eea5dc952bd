"""Whether two run folders hold the same run, but for times: `python -m experiments.reliability.equal A B`.

Compared are all files, bit for bit where they hold tensors or text, by value where they hold JSON. Left out is
what differs between any two runs: seconds, the run's id, what hosts and machine took, and the ledger's digests of what
chance and the clock have a part in (names of runs and messages, keys and masks of secure aggregation).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ecc_fed.core.records import EgressEntry

# Claims, locks, logs and what hosts measured; digests follow what they are of; the page shows seconds; shops write
# down an answer that they send again.
_OWN = {"sent.jsonl", "claim.json", "hosts.json", ".lock", ".hosts.lock", "run.log", "digests.json", "report.html"}
_KEYS = {"run_id", "created"}
# Kinds of the ledger, and the one tensor of a masked update.
_CHANCE, _MASKED = {"config", "envelope", "secure_aggregation"}, "masked"
# Of `runtime`, the one figure that is no machine's.
_RUNTIME = "client_steps"


def by_chance(kind: str, details: Mapping[str, Any]) -> bool:
    """Whether bytes of this kind differ between any two runs, though never in number."""
    return kind in _CHANCE or details.get("names") == _MASKED


def repeatable(entries: Iterable[EgressEntry]) -> list[EgressEntry]:
    """A ledger without the digests in which chance has a part."""
    return [replace(each, digest="") if by_chance(each.kind, each.details) else each for each in entries]


def _timeless(value: Any) -> Any:
    if isinstance(value, Mapping):
        if "digest" in value and by_chance(value.get("kind", ""), value.get("details", {})):
            value = {**value, "digest": ""}
        kept = {key: each for key, each in value.items() if key not in _KEYS and not key.endswith("seconds")}
        if isinstance(kept.get("runtime"), Mapping):
            kept["runtime"] = {_RUNTIME: kept["runtime"].get(_RUNTIME)}
        return {key: _timeless(each) for key, each in kept.items()}
    return [_timeless(each) for each in value] if isinstance(value, list) else value


def content(path: Path) -> Any:
    """What a file holds, but for what differs between any two runs."""
    if path.suffix == ".json":
        return _timeless(json.loads(path.read_bytes()))
    if path.suffix == ".jsonl":
        return [_timeless(json.loads(line)) for line in path.read_bytes().split(b"\n") if line]
    return path.read_bytes()


def _files(root: Path) -> dict[str, Path]:
    return {
        path.relative_to(root).as_posix(): path
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in _OWN
    }


def differences(first: Path, second: Path) -> list[str]:
    """What tells two run folders apart, a line for each file; none if they hold the same run."""
    return list(_differences(_files(first), _files(second)))


def _differences(first: dict[str, Path], second: dict[str, Path]) -> Iterator[str]:
    for name in sorted({*first, *second}):
        if name not in first or name not in second:
            yield f"{name} is in the {'first' if name in first else 'second'} alone"
            continue
        contents = [content(files[name]) for files in (first, second)]
        if contents[0] == contents[1]:
            continue
        if not isinstance(contents[0], list):
            yield f"{name} differs: {contents[0]!r:.500} and {contents[1]!r:.500}"
            continue
        lengths = [len(each) for each in contents]
        unequal = [number for number, rows in enumerate(zip(*contents, strict=False), start=1) if rows[0] != rows[1]]
        yield f"{name} differs: {lengths[0]} and {lengths[1]} rows; rows {unequal[:5]}"


def main() -> int:
    """Prints what differs; returns 1 if anything does."""
    found = differences(Path(sys.argv[1]), Path(sys.argv[2]))
    print("\n".join(found) or "equal")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
