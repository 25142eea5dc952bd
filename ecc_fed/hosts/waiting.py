"""Waiting for a host, in steps short enough to notice that Ray itself is gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ecc_fed.federation.results import FederationError
from ecc_fed.hosts.ray_private import ended_service

LOOK_SECONDS = 0.25


class RayDied(FederationError):
    """Ray's own processes ended, and the hosts with them; or they never came up."""


def require_ray() -> None:
    """Raises RayDied where the Ray that was started here has ended."""
    service = ended_service()
    if service is not None:
        raise RayDied(
            f"Ray's process {service} ended while the run was at work: it was killed, or the machine ran out of memory."
        )


def first_ready(references: Sequence[Any], seconds: float = LOOK_SECONDS) -> list[Any]:
    """Those of the references, at most one, that are ready within `seconds`.

    Raises:
        RayDied: nothing will be ready any more.
    """
    import ray

    ready: list[Any] = ray.wait(list(references), num_returns=1, timeout=seconds)[0]
    if not ready:
        require_ray()
    return ready


def result_of(reference: Any) -> Any:
    """As `ray.get`.

    Raises:
        RayDied: as `first_ready`.
    """
    import ray

    while not first_ready([reference]):
        continue
    return ray.get(reference)
