"""Devices that play the stages with each other, without a network; any of them may stop at any stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ecc_fed.privacy.secure_aggregation.graph import neighbourhoods
from ecc_fed.privacy.secure_aggregation.messages import STAGES, Ending, Inbox, PublicKeys, Roster, Stage
from ecc_fed.privacy.secure_aggregation.participant import Participant, shares_by_place
from ecc_fed.privacy.secure_aggregation.quantisation import Quantisation, Words
from ecc_fed.privacy.secure_aggregation.settings import SecureAggregationSettings
from ecc_fed.privacy.secure_aggregation.unmasking import added, unmasked

SETTINGS = SecureAggregationSettings(enabled=True, min_shops=2)
QUANTISATION = Quantisation(16.0, 28, 6, 100)


@dataclass
class Parties:
    """`count` devices by place; `stops` says in which stage a place says nothing more."""

    folder: Path
    count: int
    settings: SecureAggregationSettings = SETTINGS
    stops: Mapping[int, Stage] = field(default_factory=dict)
    session: str = "s-1"
    seed: int = 0
    degree: int | None = None

    def __post_init__(self) -> None:
        names = [f"shop_{place}" for place in range(self.count)]
        self.devices = [Participant(self.settings, name, self.folder / name, self.seed) for name in names]
        degree = self.settings.neighbours_of(self.count) if self.degree is None else self.degree
        self.neighbours = neighbourhoods(self.count, degree, np.random.default_rng(0))
        self.threshold = self.settings.threshold_of(degree + 1)
        self.keys: dict[int, PublicKeys] = {}
        self.ciphertexts: dict[int, dict[int, bytes]] = {}
        self.hidden: dict[int, Words] = {}

    def there(self, stage: Stage) -> list[int]:
        """Who says something in a stage."""
        return [
            place
            for place in range(self.count)
            if place not in self.stops or STAGES.index(self.stops[place]) > STAGES.index(stage)
        ]

    def roster(self, place: int) -> Roster:
        circle = {other: self.keys[other] for other in (place, *self.neighbours[place])}
        return Roster(self.session, place, self.threshold, circle)

    def inbox(self, place: int) -> Inbox:
        senders = [other for other in self.neighbours[place] if other in self.ciphertexts]
        return Inbox(self.session, {other: self.ciphertexts[other][place] for other in senders})

    def ending(self, place: int) -> Ending:
        around = [other for other in (place, *self.neighbours[place]) if other in self.ciphertexts]
        survivors = tuple(sorted(other for other in around if other in self.hidden))
        return Ending(self.session, survivors, tuple(sorted(set(around) - set(survivors))))

    def to_shares(self) -> None:
        self.keys = {place: self.devices[place].public_keys(self.session, 1) for place in range(self.count)}
        self.ciphertexts = {place: self.devices[place].shares(self.roster(place)) for place in self.there("shares")}

    def to_masked(self, numbers: Mapping[int, Words]) -> None:
        self.to_shares()
        for place in self.there("train"):
            self.hidden[place] = self.devices[place].masked(self.inbox(place), 1, numbers[place], QUANTISATION)

    def held(self) -> dict[int, dict[int, int]]:
        return shares_by_place(
            {place: self.devices[place].reveal(self.ending(place)) for place in self.there("unmask")}
        )

    def total(self, held: Mapping[int, Mapping[int, int]]) -> Words:
        there = sorted(self.hidden)
        dropped = sorted(set(self.ciphertexts) - set(there))
        parts = added(self.hidden[place] for place in there)
        return unmasked(
            parts, self.session, there, dropped, self.neighbours, self.keys, self.threshold, held, QUANTISATION
        )


def numbers_of(count: int, size: int = 40, seed: int = 5) -> dict[int, Words]:
    """What each place would send in the clear."""
    rng = np.random.default_rng(seed)
    return {
        place: QUANTISATION.encode(place + 1, place + 1, rng.normal(size=size).astype(np.float32))
        for place in range(count)
    }
