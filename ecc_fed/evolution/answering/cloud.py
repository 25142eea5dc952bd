"""The ceiling of cost: the cloud answers every query, and no end model any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ecc_fed.core.records import Asked, FromCloud, OwnExample


class CloudAlone:
    """An `Answering` that leaves everything to the cloud, with the shop's own examples in its prompt as ever.

    Where the cloud fails, nothing is said to the customer: no model stands in for it.
    """

    asks_model: ClassVar[bool] = False

    def prepare(self, asked: Sequence[Asked], known: Sequence[OwnExample]) -> list[FromCloud]:
        """The cloud, for each."""
        return [FromCloud() for _ in asked]
