"""Planted secrets: whoever gets them out of an adapter has shown what it remembers (Carlini et al. 2019).

A secret in a pseudo-label comes about as it would in a shop: an agent told it to one customer, the cloud is sent that
dialogue as an example, and tells it to others who ask alike. Their agent told them nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal, get_args

from ecc_fed.core.records import Pair
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.truth import Canary, CanaryPlace, Truth

DIGITS = 8
# `everywhere`: a secret of its own for every place.
Planting = Literal["reply", "query", "pseudo_label", "everywhere"]
_SLOT, _NUMBER = "{secret}", "{number}"


@dataclass
class Planted:
    """Pairs for the beginning of a shop's history, pairs to be spread over its stream, and what is true of both."""

    history: list[Pair] = field(default_factory=list)
    stream: list[Pair] = field(default_factory=list)
    truth: dict[str, Truth] = field(default_factory=dict)


def plant(shop_id: str, repeats: Sequence[int], place: Planting, identity: Mapping[str, str], seed: int) -> Planted:
    """One secret for each number in `repeats`, said so often.

    Args:
        shop_id: whose.
        repeats: how often each secret is said, each in a dialogue of its own.
        place: "reply": the agent says it, and training teaches it; "query": the customer does, where no loss falls;
            "pseudo_label": the agent says it once, and so many more customers ask the cloud; "everywhere": all three.
        identity: the pack's texts.
        seed: of the corpus.
    """
    planted = Planted()
    places: tuple[CanaryPlace, ...] = get_args(CanaryPlace) if place == "everywhere" else (place,)
    wanted = [(each, count) for each in places for count in repeats]
    for number, (each, count) in enumerate(wanted):
        secret = draw_secret(Random(derive_seed(seed, "canary", shop_id, number)))
        texts = _texts(each, identity, {_SLOT: secret, _NUMBER: str(number + 1)})
        truth = Truth(canary=Canary(secret, count, each))
        asked_alike = count if each == "pseudo_label" else 0
        for time in range(1 if asked_alike else count):
            name = f"{shop_id}/canary{number}/{time:05d}"
            planted.history.append(Pair(name, name, shop_id, (), *texts))
            planted.truth[name] = truth
        for time in range(asked_alike):
            name = f"{shop_id}/canary{number}/stream/{time:05d}"
            planted.stream.append(Pair(name, name, shop_id, (), texts[0], identity["canary_thanks"]))
            planted.truth[name] = truth
    return planted


def spread(planted: Sequence[Pair], stream: Sequence[Pair]) -> tuple[Pair, ...]:
    """The stream with the planted pairs at equal distances, in their order, each at the time of the pair before it."""
    found = list(stream)
    for number, pair in reversed(list(enumerate(planted))):
        place = (number + 1) * len(stream) // (len(planted) + 1)
        position = stream[max(place - 1, 0)].position if stream else 0.0
        found.insert(place, replace(pair, position=position))
    return tuple(found)


def _texts(place: CanaryPlace, identity: Mapping[str, str], slots: Mapping[str, str]) -> tuple[str, str]:
    """(query, reply)."""
    keys = {
        "reply": ("canary_ask", "canary_reply"),
        "query": ("canary_told", "canary_thanks"),
        "pseudo_label": ("canary_ask_cloud", "canary_reply"),
    }[place]
    query, reply = (identity[key] for key in keys)
    for slot, value in slots.items():
        query, reply = query.replace(slot, value), reply.replace(slot, value)
    return query, reply


def draw_secret(rng: Random) -> str:
    """One of 10^8."""
    return "".join(str(rng.randrange(10)) for _ in range(DIGITS))
