"""What `make mutants` found: for each room how many wrong changes its tests caught, and every one that they missed.

    python experiments/mutants/rates.py [--folder mutants] [--room evolution]

Reads the folder that `mutmut run` leaves behind. A change that runs into its time limit counts as caught; one that
no test reaches counts as missed.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

CAUGHT, MISSED = ("killed", "timeout"), ("survived", "no tests")


def room_of(module: str) -> str:
    """`ecc_fed.evolution.review.marks` -> evolution; within federation and hosts every part is a room of its own."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2]) if parts[0] in ("federation", "hosts") else parts[0]


def outcomes(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(module, mutant, outcome) of every wrong change."""
    from mutmut.stats import status_by_exit_code

    for path in sorted(folder.rglob("*.meta")):
        module = ".".join(path.relative_to(folder).with_suffix("").with_suffix("").parts)
        for mutant, exit_code in json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"].items():
            yield module, mutant, status_by_exit_code[exit_code]


def table(found: dict[str, Counter[str]]) -> Iterator[str]:
    """A line for each room, and one for all."""
    found = dict(sorted(found.items())) | {"all": sum(found.values(), Counter())}
    yield f"{'room':<28}{'changes':>8}{'caught':>8}{'missed':>8}{'other':>7}{'rate':>8}"
    for room, counts in found.items():
        caught, missed = (sum(counts[name] for name in names) for names in (CAUGHT, MISSED))
        other = sum(counts.values()) - caught - missed
        rate = f"{100 * caught / (caught + missed):.1f}%" if caught + missed else ""
        yield f"{room:<28}{sum(counts.values()):>8}{caught:>8}{missed:>8}{other:>7}{rate:>8}"


def change(mutant: str, module: str) -> str:
    """What the wrong change did, as removed and added lines."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    diff: str = get_diff_for_mutant(mutant, path=Path(module.replace(".", "/")).with_suffix(".py"))
    lines = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return "\n".join(f"    {line}" for line in lines)


def main() -> None:
    """Prints the table and the changes that were missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("mutants"), help="what mutmut left behind")
    parser.add_argument("--room", default="", help="show what was missed in this room alone")
    arguments = parser.parse_args()
    found: dict[str, Counter[str]] = defaultdict(Counter)
    missed = []
    for module, mutant, outcome in outcomes(arguments.folder):
        found[room_of(module)][outcome] += 1
        if outcome in MISSED and room_of(module).startswith(arguments.room):
            missed.append((module, mutant, outcome))
    for module, mutant, outcome in missed:
        print(f"{mutant} ({outcome})\n{change(mutant, module)}\n")
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
