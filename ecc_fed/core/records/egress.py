"""What the ledger holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class EgressEntry:
    """One line of the ledger: bytes that left a shop (or came to it), to whom and of what kind."""

    shop_id: str
    server_round: int
    destination: Literal["cloud_teacher", "aggregator", "pool"]
    direction: Literal["up", "down"]
    kind: str
    num_bytes: int
    redaction: str = "none"
    details: Mapping[str, str | int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.num_bytes < 0 or self.server_round < 0:
            raise ValueError(f"has num_bytes {self.num_bytes} and server_round {self.server_round}: both count from 0")
