"""What redaction finds, lets through, gives back, and takes in time.

    python -m experiments.privacy.redaction [--dialogues 2000] [--generated 1000] [--seed 7]
                                            [--parts leaks recall restore time]

Leaks: simulated dialogues go through the gateway, in turn with each redaction, every value written in turn in each form
(`disguise`); all that reached the teacher is searched for true values, and all that came back for another customer's.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import get_args

from ecc_fed.core.protocols import Redactor
from ecc_fed.core.records import Turn
from ecc_fed.privacy.redaction.placeholders import Language
from ecc_fed.privacy.redaction.plain import NoRedaction
from ecc_fed.privacy.redaction.redactors import OrderRecordRedaction, PatternRedaction
from experiments.privacy.dialogues import Dialogue, simulated
from experiments.privacy.disguise import FORMS, SPLIT, disguised
from experiments.privacy.generated import TEMPLATES, sentences
from experiments.privacy.leaks import Leaks, leaks_of
from experiments.privacy.scan import Haystack, same_value, squeezed

PARTS = ("leaks", "recall", "restore", "time")
# Numerals and full-width letters make no other e-mail address or account of one.
AS_IS = ("name, bare", "address", "email", "account")


def redactors(language: Language = "zh") -> list[Redactor]:
    """The three, from the weakest."""
    return [NoRedaction(), PatternRedaction(language), OrderRecordRedaction(language)]


def print_leaks(dialogues: Sequence[Dialogue], seed: int) -> None:
    """A row for every redaction and form, and one for shops that have no record of one customer in ten."""
    print(f"\n{len(dialogues):,} simulated dialogues in which the customer says something private\n")
    columns = "values | found at the cloud | in dialogues | replies with another's value | refused | restored"
    print(f"| redaction | form | {columns} | unknown placeholders |\n" + "|---" * 9 + "|")
    for redactor in redactors():
        for form in (*FORMS, SPLIT):
            print(_row(redactor.name, form, leaks_of(dialogues, redactor, form)), flush=True)
    unrecorded = list(simulated(len(dialogues), seed, without_record=0.1))
    found = leaks_of(unrecorded, OrderRecordRedaction(), "as it is")
    print(_row("order_record", "as it is; no record of one in ten", found), flush=True)


def _row(redaction: str, form: str, found: Leaks) -> str:
    kinds = ", ".join(f"{kind} {number:,}" for kind, number in sorted(found.leaked.items()))
    counts = (found.dialogues, found.crossed, found.counts.refused, found.counts.restored, found.counts.unknown)
    leaked = f"{found.leaked.total():,}" + (f" ({kinds})" if kinds else "")
    cells = (f"`{redaction}`", form, f"{found.said:,}", leaked, *(f"{number:,}" for number in counts))
    return "| " + " | ".join(cells) + " |"


def recall_on_dialogues(
    dialogues: Sequence[Dialogue], redactor: Redactor | None = None, forms: Sequence[str] = tuple(FORMS)
) -> Iterator[tuple[str, str, int, int, int]]:
    """(class, form, values, taken whole, gone from the text) on simulated dialogues, None: by patterns alone."""
    redactor = redactor or PatternRedaction()
    for form in forms:
        values, whole, gone = Counter[str](), Counter[str](), Counter[str]()
        for dialogue in dialogues:
            secrets = [value for _, value in dialogue.said]
            turns = [Turn(turn.role, disguised(turn.text, secrets, form)) for turn in dialogue.turns]
            session = redactor.redact(turns, None)
            sent = Haystack("\n".join(turn.text for turn in session.turns))
            taken = [squeezed(each.value) for each in session.hidden]
            for kind, value in dialogue.said:
                values[kind] += 1
                whole[kind] += any(squeezed(value) in each for each in taken)
                gone[kind] += not sent.holds(value)
        yield from ((kind, form, values[kind], whole[kind], gone[kind]) for kind in sorted(values))


def recall_on_sentences(
    language: Language, count: int, seed: int, redactor: Redactor | None = None, forms: Sequence[str] = tuple(FORMS)
) -> Iterator[tuple[str, str, int, int, int]]:
    """The same on generated sentences."""
    redactor = redactor or PatternRedaction(language)
    for kind in TEMPLATES[language]:
        for form in forms if kind not in AS_IS else ("as it is",):
            whole = gone = 0
            for sentence in sentences(language, kind, count, seed):
                text = disguised(sentence.text, [sentence.value], form)
                session = redactor.redact([Turn("customer", text)], None)
                whole += any(squeezed(sentence.value) in squeezed(each.value) for each in session.hidden)
                gone += not Haystack(session.turns[0].text).holds(sentence.value)
            yield kind, form, count, whole, gone


def print_recall(dialogues: Sequence[Dialogue], count: int, seed: int) -> None:
    """Patterns alone: a row for every class and form, where forms differ."""
    tables = {"simulated dialogues": list(recall_on_dialogues(dialogues))}
    for language in get_args(Language):
        tables[f"generated, {language}"] = list(recall_on_sentences(language, count, seed))
    print("\n`patterns` alone\n\n| text | class | form | values | taken whole | gone |\n" + "|---" * 6 + "|")
    for name, rows in tables.items():
        for kind, form, values, whole, gone in rows:
            print(f"| {name} | {kind} | {form} | {values:,} | {whole / values:.1%} | {gone / values:.1%} |")
    plain = [turn for dialogue in simulated(len(dialogues), seed, private=False) for turn in dialogue.turns]
    taken = sum(bool(PatternRedaction().redact([turn], None).hidden) for turn in plain)
    print(f"\nTurns of dialogues without anything private: {len(plain):,}; something taken out of {taken:,}.")


def print_restored(dialogues: Sequence[Dialogue]) -> None:
    """How many redacted turns come back with the values that they had."""
    for redactor in redactors()[1:]:
        turns = exact = equal = 0
        for dialogue in dialogues:
            session = redactor.redact(dialogue.turns, dialogue.customer)
            for before, after in zip(dialogue.turns, session.turns, strict=True):
                back = session.restore(after.text)
                turns, exact = turns + 1, exact + (back.text == before.text)
                equal += same_value(back.text, before.text) and not back.unknown
        print(f"`{redactor.name}`: of {turns:,} turns {exact:,} come back as they were, {equal:,} with equal values.")


def print_time(dialogues: Sequence[Dialogue]) -> None:
    """Microseconds a turn, the median over dialogues, and one turn of 100,000 signs."""
    for redactor in redactors()[1:]:
        redacting, restoring = [], []
        for dialogue in dialogues:
            started = time.process_time()
            session = redactor.redact(dialogue.turns, dialogue.customer)
            middle = time.process_time()
            for turn in session.turns:
                session.restore(turn.text)
            ended = time.process_time()
            redacting.append((middle - started) / len(dialogue.turns) * 1e6)
            restoring.append((ended - middle) / len(dialogue.turns) * 1e6)
        long = "".join(turn.text for dialogue in dialogues for turn in dialogue.turns)
        long = (long * (100_000 // len(long) + 1))[:100_000]
        started = time.process_time()
        redactor.redact([Turn("customer", long)], dialogues[0].customer)
        seconds = time.process_time() - started
        p99 = statistics.quantiles(redacting, n=100)[98]
        print(
            f"`{redactor.name}`: redacting {statistics.median(redacting):.0f} us a turn (99 of 100 dialogues below "
            f"{p99:.0f}), restoring {statistics.median(restoring):.1f}; 100,000 signs in one turn {seconds:.2f} s."
        )


def main() -> None:
    """Prints the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dialogues", type=int, default=2000)
    parser.add_argument("--generated", type=int, default=1000, help="sentences of each class")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    given = parser.parse_args()
    dialogues = list(simulated(given.dialogues, given.seed))
    if "leaks" in given.parts:
        print_leaks(dialogues, given.seed)
    if "recall" in given.parts:
        print_recall(dialogues, given.generated, given.seed)
    if "restore" in given.parts:
        print()
        print_restored(dialogues)
    if "time" in given.parts:
        print()
        print_time(dialogues)


if __name__ == "__main__":
    main()
