"""What server and devices say to each other, in four stages; places are the shops' numbers in a session, from 0.

| stage | server to device | device to server |
|---|---|---|
| keys | the session's name | `PublicKeys` |
| shares | `Roster`: the neighbours' keys | a ciphertext for each neighbour |
| train | `Inbox`: what the neighbours encrypted | the masked numbers |
| unmask | `Ending`: who is in the sum, who is not | a share of each one's secret |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from ecc_fed.privacy.secure_aggregation.keys import KEY_BYTES

Stage = Literal["keys", "shares", "train", "unmask"]
STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """A device's two public keys of one session."""

    cipher: bytes
    mask: bytes

    def to_bytes(self) -> bytes:
        """64 bytes."""
        return self.cipher + self.mask

    @classmethod
    def from_bytes(cls, data: bytes) -> PublicKeys:
        """The keys of `to_bytes`."""
        return cls(data[:KEY_BYTES], data[KEY_BYTES:])


@dataclass(frozen=True, slots=True)
class Roster:
    """A neighbourhood.

    Attributes:
        session: which.
        place: the device's own.
        threshold: how many shares give a secret back.
        keys: by place, of the device itself and all its neighbours.
    """

    session: str
    place: int
    threshold: int
    keys: Mapping[int, PublicKeys]


@dataclass(frozen=True, slots=True)
class Inbox:
    """What came for a device, by the places of those neighbours who are still there."""

    session: str
    ciphertexts: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class Ending:
    """Who of a neighbourhood is in the sum, the device itself included, and who sent shares and no numbers."""

    session: str
    survivors: tuple[int, ...]
    dropped: tuple[int, ...]
