"""Customers who come back: can the cloud tell that two redacted dialogues are of one of them?

    python -m experiments.privacy.linkability [--customers 400] [--seed 7]

Simulated dialogues of one shop are taken two by two; the second is made the first one's customer's by putting that
customer's values in the place of its own: all of them, or all but the order's and the parcel's number (a new order), or
none (another customer: the control). The cloud has every first dialogue of the shop, and says of each second one which
it belongs to: the one most like it by the rare pieces of text that both hold (characters in twos to fours, weighted by
how few dialogues have them), which finds a number, a name or a turn of phrase; or one with the same placeholders.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby

from ecc_fed.core.protocols import Redactor
from ecc_fed.core.records import OrderRecord, Turn
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Units, bootstrap_mean
from ecc_fed.privacy.attacks.accusation import recall_at
from ecc_fed.privacy.redaction.placeholders import pattern_of
from ecc_fed.reporting.formatting import interval_text, value_text
from experiments.paper.table6 import markdown
from experiments.privacy.dialogues import Dialogue, simulated
from experiments.privacy.redaction import redactors

# What of a customer stays the same at the second visit.
KEPT: Mapping[str, tuple[str, ...]] = {
    "the same order": ("name", "phone", "address", "order", "parcel"),
    "a new order": ("name", "phone", "address"),
    "somebody else (control)": (),
}
_PIECES = (2, 3, 4)


def second_visit(
    dialogue: Dialogue, first: Dialogue, kept: Sequence[str]
) -> tuple[tuple[Turn, ...], OrderRecord | None]:
    """The dialogue as one of `first`'s customer: its turns up to the last question, and the record of who asks."""
    turns = dialogue.pairs[-1].prompt
    mine, theirs = dialogue.customer, first.customer
    if not kept or mine is None or theirs is None:
        return turns, mine
    new = dict(theirs.values())
    swapped = {value: new[kind] for kind, value in mine.values() if kind in kept and kind in new}
    for old, value in swapped.items():
        turns = tuple(Turn(turn.role, turn.text.replace(old, value)) for turn in turns)
    fields = dict(mine.values()) | {kind: new[kind] for kind in kept if kind in new}
    record = OrderRecord(fields["name"], fields["phone"], fields["address"], (fields["order"],), (fields["parcel"],))
    return turns, record


def pieces(text: str) -> Counter[str]:
    """Its runs of two to four characters."""
    return Counter(text[at : at + size] for size in _PIECES for at in range(len(text) - size + 1))


def likenesses(text: str, known: Sequence[str]) -> list[float]:
    """Cosine of the text and each known one by pieces, each weighted by log(n / how many known ones have it)."""
    counted = [pieces(each) for each in known]
    have = Counter(piece for each in counted for piece in each)
    rare = {piece: math.log((len(known) + 1) / number) for piece, number in have.items()}

    def weighted(count: Counter[str]) -> dict[str, float]:
        return {piece: number * rare[piece] for piece, number in count.items() if piece in rare}

    def cosine(one: Mapping[str, float], other: Mapping[str, float]) -> float:
        lengths = math.sqrt(sum(v * v for v in one.values()) * sum(v * v for v in other.values()))
        return sum(value * other[piece] for piece, value in one.items() if piece in other) / lengths if lengths else 0.0

    mine = weighted(pieces(text))
    return [cosine(mine, weighted(each)) for each in counted]


def placeholders(text: str) -> Counter[str]:
    """The placeholders in it, with their numbers."""
    return Counter(match[0] for match in pattern_of("zh").finditer(text))


def linked(dialogues: Sequence[Dialogue], redactor: Redactor, kept: Sequence[str]) -> dict[str, list[float]]:
    """By rule, for each second dialogue the chance that the cloud names the right first one of its shop.

    By "chance" alone it is one of how many the shop has. "shared": whether a value was said in both, whatever is sent.
    """
    found: dict[str, list[float]] = {"likeness": [], "placeholders": [], "chance": [], "shared": []}
    for _, shop in groupby(dialogues, key=lambda dialogue: dialogue.shop_id):
        own = list(shop)
        visits = list(zip(own[::2], own[1::2], strict=False))
        known = [_sent(redactor, first.pairs[-1].prompt, first.customer) for first, _ in visits]
        marks = [placeholders(each) for each in known]
        for place, (first, second) in enumerate(visits):
            returning = second_visit(second, first, kept)
            text = _sent(redactor, *returning)
            right = [other == place for other in range(len(visits))]
            scores = likenesses(text, known)
            same = [float(each == placeholders(text)) for each in marks]
            found["likeness"].append(recall_at([-score for score in scores], right, 1) or 0.0)
            found["placeholders"].append(recall_at([-score for score in same], right, 1) or 0.0)
            found["chance"].append(1 / len(visits))
            said = ["\n".join(t.text for t in turns) for turns in (first.pairs[-1].prompt, returning[0])]
            values = () if first.customer is None else first.customer.values()
            found["shared"].append(float(any(all(value in each for each in said) for _, value in values)))
    return found


def _sent(redactor: Redactor, turns: Sequence[Turn], customer: OrderRecord | None) -> str:
    return "\n".join(turn.text for turn in redactor.redact(turns, customer).turns)


def main() -> None:
    """Prints a row for every redaction and kind of second visit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=400)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    dialogues = list(simulated(2 * given.customers, given.seed))
    rows = []
    for redactor in redactors():
        for visit, kept in KEPT.items():
            found = linked(dialogues, redactor, kept)
            cells = []
            for rule, values in found.items():
                seed = derive_seed(given.seed, "linkability", redactor.name, visit, rule)
                mean = bootstrap_mean(values, Units.single(len(values)), seed)
                assert mean is not None
                shown = value_text(mean.mean, "share")
                cells.append(shown if rule in ("chance", "shared") else f"{shown} {interval_text(mean, 'share')}")
            rows.append([f"`{redactor.name}`", visit, f"{len(found['chance']):,}", *cells])
    head = ("Redaction", "Second visit", "Visits", "By likeness", "By placeholders", "By chance", "A value in both")
    print(markdown(head, rows))


if __name__ == "__main__":
    main()
