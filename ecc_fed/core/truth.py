"""What is true of a pair, and what no device of a real shop could know: kept apart from the dialogues.

The simulator tells it; a file of real dialogues has none. It is read where a run is measured
(evaluation, attribution, attacks) and where a customer is played (simulated feedback), and by nothing
on the way to the cloud: what the device itself knows stands in `core.records`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

FactScope = Literal["shop", "platform"]
Place = Literal["context", "query", "reply"]
# Where a secret is planted; a pseudo-label is the cloud's reply.
CanaryPlace = Literal["reply", "query", "pseudo_label"]


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact that a right reply must state, in any of its accepted surface forms.

    `kind` groups comparable facts over shops ("courier", "price"); `key` is one fact of one shop
    ("price/坚果礼盒"). A reply that states a competing value is wrong even if it also states the
    accepted one: naming every courier is no answer. `since` is the day on which the value began to
    hold; None where it never changed, or nobody knows.
    """

    key: str
    kind: str
    scope: FactScope
    accepted: tuple[str, ...]
    competing: tuple[str, ...]
    since: float | None = None


@dataclass(frozen=True, slots=True)
class PrivateValue:
    """A customer's private value that stands verbatim in a pair: ground truth for leak tests.

    `kind` is one of name, phone, address, order, parcel, wechat, id_card, bank_card, email. `said_in`
    names the parts of the pair that hold it: what only the human reply says never left with the query.
    """

    kind: str
    value: str
    said_in: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Canary:
    """A secret that was planted to be looked for afterwards.

    `repeats` pairs of the shop hold it; in pseudo-labels, one pair of the history does, and so many streamed questions
    ask the cloud for it, which may tell it or not.
    """

    secret: str
    repeats: int
    said_in: CanaryPlace


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of one pair: what is asked, in which form, and which facts a right reply states."""

    intent: str | None = None
    form_id: str | None = None
    facts: tuple[Fact, ...] = ()
    private_values: tuple[PrivateValue, ...] = ()
    canary: Canary | None = None


# Of one shop, by pair_id. A pair of which nothing is known is not in it.
ShopTruth = Mapping[str, Truth]
