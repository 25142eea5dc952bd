"""Few-shot examples on their way to the cloud: redacted as strictly as the dialogue they stand before."""

from __future__ import annotations

from collections.abc import Sequence

from ecc_fed.core.protocols import Redactor
from ecc_fed.core.records import OrderRecord, Turn
from ecc_fed.privacy.redaction.others import Others

Examples = tuple[tuple[str, str], ...]
Customers = tuple[OrderRecord | None, ...]


def redacted_examples(
    redactor: Redactor, examples: Examples, customers: Customers
) -> tuple[Sequence[tuple[str, str]], Others]:
    """The examples in their order, and what was hidden in them.

    Every customer's examples have a map of their own, and are read together: a value may be split over them. Whose
    customer is unknown stands alone.

    Raises:
        ValueError: as many customers as examples are needed, or none.
    """
    if customers and len(customers) != len(examples):
        raise ValueError(f"{len(customers)} customers for {len(examples)} examples")
    known = customers or (None,) * len(examples)
    groups: dict[OrderRecord | int, list[int]] = {}
    for place, customer in enumerate(known):
        groups.setdefault(place if customer is None else customer, []).append(place)
    redacted: dict[int, tuple[str, str]] = {}
    sessions = []
    for places in groups.values():
        said = [(Turn("customer", examples[place][0]), Turn("agent", examples[place][1])) for place in places]
        sessions.append(session := redactor.redact([turn for pair in said for turn in pair], known[places[0]]))
        texts = [turn.text for turn in session.turns]
        redacted.update(zip(places, zip(texts[::2], texts[1::2], strict=True), strict=True))
    return [redacted[place] for place in range(len(examples))], Others.of(sessions)
