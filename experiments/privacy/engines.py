"""Redactions beside each other: what each finds without an order record, and the time it takes.

    python -m experiments.privacy.engines [--redactions patterns presidio_alone presidio] [--model PATH]
                                          [--dialogues 500] [--generated 300] [--seed 7]

Values are as they are, in no other form. For real wordings: `experiments.privacy.real FILE --redaction NAME`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import get_args

from ecc_fed.core.protocols import Redactor
from ecc_fed.core.records import Turn
from ecc_fed.privacy.redaction.placeholders import Language
from experiments.privacy.dialogues import Dialogue, simulated
from experiments.privacy.names import NAMES, by_name
from experiments.privacy.redaction import recall_on_dialogues, recall_on_sentences

AS_THEY_ARE = ("as it is",)


def recalls(
    names: Sequence[str], model: str | None, dialogues: Sequence[Dialogue], count: int, seed: int
) -> Iterator[tuple[str, str, int, list[float]]]:
    """(text, class, values, share that each redaction took out whole)."""
    tables = [
        (
            "simulated dialogues",
            [list(recall_on_dialogues(dialogues, by_name(name, "zh", model), AS_THEY_ARE)) for name in names],
        )
    ]
    for language in get_args(Language):
        made = [by_name(name, language, model) for name in names]
        found = [list(recall_on_sentences(language, count, seed, each, AS_THEY_ARE)) for each in made]
        tables.append((f"generated, {language}", found))
    for text, columns in tables:
        for rows in zip(*columns, strict=True):
            yield text, rows[0][0], rows[0][2], [whole / values for _, _, values, whole, _ in rows]


def milliseconds(redactor: Redactor, dialogues: Sequence[Dialogue]) -> tuple[float, float]:
    """Processor time for a turn, the median over dialogues, and for one turn of 10,000 signs."""
    redactor.redact(dialogues[0].turns, dialogues[0].customer)  # whatever is loaded at first
    spent = []
    for dialogue in dialogues:
        started = time.process_time()
        redactor.redact(dialogue.turns, dialogue.customer)
        spent.append((time.process_time() - started) / len(dialogue.turns) * 1e3)
    long = "".join(turn.text for dialogue in dialogues for turn in dialogue.turns)[:10_000]
    started = time.process_time()
    redactor.redact([Turn("customer", long)], dialogues[0].customer)
    return statistics.median(spent), (time.process_time() - started) * 1e3


def main(argv: Sequence[str] | None = None) -> None:
    """Prints a table of recall, and one of times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redactions", nargs="+", choices=NAMES, default=("patterns", "presidio_alone", "presidio"))
    parser.add_argument("--model", help="the folder of the redaction model")
    parser.add_argument("--dialogues", type=int, default=500)
    parser.add_argument("--generated", type=int, default=300, help="sentences of each class")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args(argv)
    names = given.redactions
    dialogues = list(simulated(given.dialogues, given.seed))
    print("| text | class | values | " + " | ".join(f"`{name}`" for name in names) + " |")
    print("|---" * (3 + len(names)) + "|")
    for text, kind, values, shares in recalls(names, given.model, dialogues, given.generated, given.seed):
        print(f"| {text} | {kind} | {values:,} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")
    print("\n| redaction | ms a turn | ms for 10,000 signs in one turn |\n|---|---|---|", flush=True)
    for name in names:
        turn, long = milliseconds(by_name(name, "zh", given.model), dialogues)
        print(f"| `{name}` | {turn:.3g} | {long:.3g} |", flush=True)


if __name__ == "__main__":
    main()
