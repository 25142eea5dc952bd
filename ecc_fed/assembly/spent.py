"""What of a run's budget for the cloud is spent already."""

from __future__ import annotations

from collections.abc import Iterable

from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.evolution.spending import spent_by, spent_on_base
from ecc_fed.teacher.gateway.gateway import Gateway


def count_spent(gateway: object, directory: RunDirectory, shop_ids: Iterable[str]) -> None:
    """A gateway's budget goes on from what its shops' folders tell, in whatever process it was spent."""
    if isinstance(gateway, Gateway):
        folders = [directory.shop(shop_id) for shop_id in shop_ids]
        gateway.budget.restore(spent_by(folders), spent_on_base(folders))
