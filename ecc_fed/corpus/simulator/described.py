"""A session that knows what is said in it: the simulator wrote it."""

from __future__ import annotations

from dataclasses import dataclass

from ecc_fed.core.records import Session
from ecc_fed.core.truth import Fact
from ecc_fed.corpus.simulator.customer import Customer


@dataclass(frozen=True, slots=True)
class DescribedSession(Session):
    """`intents[i]`, `facts[i]`, `form_ids[i]` describe turn i and are empty tuples where unknown.

    `customer` is who speaks, where the session has one.
    """

    intents: tuple[str | None, ...] = ()
    facts: tuple[tuple[Fact, ...], ...] = ()
    form_ids: tuple[str | None, ...] = ()
    customer: Customer | None = None
