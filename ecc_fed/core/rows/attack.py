"""A row of `attacks/rows.jsonl`: what one attack on one adapter made of one pair or secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AttackName = Literal[
    "membership_loss",
    "membership_ratio",
    "membership_min_k",
    "membership_lira",
    "exposure",
    "extraction",
    "reconstruction",
    "coverage",
    "efficiency",
]
# Whose adapter is attacked: nobody's (the control), the shop's own, or the one that the server sends another shop.
AttackTarget = Literal["base", "device", "other_shop"]


@dataclass(frozen=True, slots=True)
class AttackRow:
    """One score.

    Attributes:
        attack: which.
        target: whose adapter.
        shop_id: whose data is looked for.
        item: the pair, or the first pair that holds the secret or value; of an efficiency, the reply.
        session_id: its dialogue; of an efficiency, the question.
        score: of a membership attack the higher the likelier a member; bits of an exposure or reconstruction; 1 where a
            private value or secret was said by the model, or where a reply says any, else 0.
        member: of a membership attack, whether the pair was trained on. None elsewhere.
        kind: of an extraction or reconstruction, which kind of value; of an exposure, how often and where the secret
            was said; of coverage or efficiency, how replies were drawn, and whether the value was planted.
        most: of an exposure or reconstruction, the bits of a value that nothing is likelier than. None elsewhere.
    """

    attack: AttackName
    target: AttackTarget
    shop_id: str
    item: str
    session_id: str
    score: float
    member: bool | None = None
    kind: str = ""
    most: float | None = None
