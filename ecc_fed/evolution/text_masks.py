"""Masks in the place of private values, before anything is learned: what a model has not read it cannot tell."""

from __future__ import annotations

from dataclasses import replace

from ecc_fed.core.protocols import Redactor
from ecc_fed.core.records import OrderRecord, Shop, Turn
from ecc_fed.evolution.experience import Experience


def masked(experience: Experience, redactor: Redactor | None, shop: Shop) -> Experience:
    """The experience as a model may learn from it; as it is, where there is no redactor.

    Prompt and reply of an example are redacted together, so that a value that both hold is known in both.

    Args:
        experience: the shop's.
        redactor: finds values.
        shop: whose order records go with pseudo-labels, too; what was asked in a chat has none.
    """
    if redactor is None:
        return experience
    customers = {pair.pair_id: pair.customer for pair in (*shop.history, *shop.stream)}
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
