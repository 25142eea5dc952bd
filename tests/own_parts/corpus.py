"""Shops that sell one thing each, and a partition that deals their dialogues out in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecc_fed.core.protocols import Partition
from ecc_fed.core.records import Assignment, OrderRecord, Pair, Session, Shop, Turn
from ecc_fed.core.truth import ShopTruth


@dataclass(frozen=True)
class InTurn:
    """Session i belongs to shop i modulo the number of shops."""

    prefix: str = "shop"

    def assign(self, sessions: Sequence[Session], num_shops: int, seed: int) -> Assignment:
        names = [f"{self.prefix}-{number}" for number in range(num_shops)]
        return Assignment([names[i % num_shops] for i in range(len(sessions))], dict.fromkeys(names, "in turn"))


class Stalls:
    """Dialogues made up on the spot."""

    def __init__(self, num_shops: int, num_sessions: int, partition: Partition, seed: int) -> None:
        sessions = [
            Session(f"s{i}", (Turn("customer", f"第{i}号多少钱 13800000000"), Turn("agent", f"亲，{i}元哦")))
            for i in range(num_sessions)
        ]
        owners = partition.assign(sessions, num_shops, seed).shop_of
        self._shops = {
            shop_id: [session for session, owner in zip(sessions, owners, strict=True) if owner == shop_id]
            for shop_id in sorted({owner for owner in owners if owner is not None})
        }

    def shop_ids(self) -> tuple[str, ...]:
        return tuple(self._shops)

    def shop(self, shop_id: str) -> Shop:
        pairs = [
            Pair(
                f"{shop_id}/{session.session_id}",
                session.session_id,
                shop_id,
                (),
                session.turns[0].text,
                session.turns[1].text,
                customer=OrderRecord(phone="13800000000"),
            )
            for session in self._shops[shop_id]
        ]
        third = len(pairs) // 3
        return Shop(shop_id, tuple(pairs[:third]), tuple(pairs[third : 2 * third]), tuple(pairs[2 * third :]))

    def truth(self, shop_id: str) -> ShopTruth:
        return {}
