"""Whose a state on disk is: one shop's, in one run, over one corpus."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from ecc_fed.core.errors import DamagedState
from ecc_fed.core.records import Shop


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a state is: it is refused elsewhere.

    Attributes:
        run_id: of the run that wrote it.
        shop_id: of the shop.
        dialogues_sha256: of the shop's dialogues, from `dialogues_digest`.
    """

    run_id: str
    shop_id: str
    dialogues_sha256: str

    def check(self, found: Owner) -> None:
        """Holds what lies on disk to what is expected there.

        Raises:
            DamagedState: it is another shop's, another run's, or came of other dialogues.
        """
        if found.shop_id != self.shop_id:
            raise DamagedState(f"it is of shop {found.shop_id}, not of {self.shop_id}")
        if found.run_id != self.run_id:
            raise DamagedState(f"it is of run {found.run_id or '(none)'}, not of {self.run_id or '(none)'}")
        if found.dialogues_sha256 != self.dialogues_sha256:
            raise DamagedState(
                f"shop {self.shop_id} had other dialogues when it was written: the corpus, or how it is read and "
                "split, has changed since"
            )


def owner_of(shop: Shop, run_id: str) -> Owner:
    """Whose the states are that `shop` leaves in a run."""
    return Owner(run_id, shop.shop_id, dialogues_digest(shop))


def joint_digest(owners: Sequence[Owner]) -> str:
    """SHA-256 over the dialogues of all shops of a run, in their order."""
    named = "\n".join(f"{owner.shop_id}\x1f{owner.dialogues_sha256}" for owner in owners)
    return hashlib.sha256(named.encode("utf-8", "replace")).hexdigest()


def dialogues_digest(shop: Shop) -> str:
    """SHA-256 over all dialogues of the shop, in their order and parts."""
    digest = hashlib.sha256()
    for part in (shop.history, shop.stream, shop.test):
        digest.update(f"{len(part)}\n".encode())
        for pair in part:
            texts = [pair.pair_id, *(text for turn in pair.prompt for text in (turn.role, turn.text)), pair.reply]
            digest.update("\x1f".join([str(len(texts)), *texts]).encode("utf-8", "replace"))
    return digest.hexdigest()
