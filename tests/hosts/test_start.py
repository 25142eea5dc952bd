"""What Ray is started with, without starting it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ecc_fed.hosts import start


@pytest.mark.parametrize(("usable", "asked", "cores"), [(1, 1, 1), (3, 1, 3), (2, 6, 6)])
def test_a_ray_of_our_own_has_the_cores_that_this_process_may_use(
    usable: int, asked: int, cores: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a container these are fewer than the machine's; who asks for more hosts gets them."""
    given: list[dict[str, Any]] = []
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=lambda **settings: given.append(settings)))
    monkeypatch.setattr(start, "job_config", lambda: None)
    monkeypatch.setattr(start, "usable_cpus", lambda: usable)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    start._start(asked, False, tmp_path)
    assert [settings["num_cpus"] for settings in given] == [cores]
