from __future__ import annotations

import pytest

from ecc_fed.federation.flower.internals import identify_process


@pytest.fixture(autouse=True)
def _the_servers_process() -> None:
    """Flower makes a message in a process that it knows alone; no test leaves that to the one before it."""
    identify_process(1)
