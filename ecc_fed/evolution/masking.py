"""Masks in the place of private values, before anything is learned: what a model has not read it cannot tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ecc_fed.core.protocols import Redactor
from ecc_fed.core.records import OrderRecord, Pair, Turn
from ecc_fed.evolution.experience import Experience

Customers = Mapping[str, OrderRecord | None]


def customers_of(pairs: Iterable[Pair]) -> dict[str, OrderRecord | None]:
    """Whose order record goes with which pair, by pair id."""
    return {pair.pair_id: pair.customer for pair in pairs}


def masked(experience: Experience, redactor: Redactor | None, customers: Customers) -> Experience:
    """The experience as a model may learn from it; as it is, where there is no redactor.

    Prompt and reply of an example are redacted together, so that a value that both hold is known in both.

    Args:
        experience: a shop's.
        redactor: finds values.
        customers: order records by pair id; a pair that is not there has none.
    """
    if redactor is None:
        return experience
    natural = []
    for pair in experience.natural:
        prompt, reply = _masked(pair.prompt, pair.reply, redactor, pair.customer)
        natural.append(replace(pair, context=prompt[:-1], query=prompt[-1].text, reply=reply))
    labels = []
    for label in experience.pseudo_labels:
        prompt, reply = _masked(label.prompt, label.reply, redactor, customers.get(label.pair_id))
        labels.append(replace(label, prompt=prompt, reply=reply))
    return Experience(tuple(natural), tuple(labels))


def _masked(
    prompt: tuple[Turn, ...], reply: str, redactor: Redactor, known: OrderRecord | None
) -> tuple[tuple[Turn, ...], str]:
    turns = redactor.redact((*prompt, Turn("agent", reply)), known).masked()
    return turns[:-1], turns[-1].text
