from dataclasses import replace
from typing import Any

import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.hosts.settings import MEASURED, HostSettings


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hosts": -1}, r"runtime\.hosts=-1 is out of range: 0 \(automatic\) or more"),
        ({"threads_per_host": 0}, r"runtime\.threads_per_host=0 is out of range: 1 or more"),
        ({"gpus_per_host": -0.1}, r"runtime\.gpus_per_host=-0\.1 is out of range: 0 to 1"),
        ({"gpus_per_host": 1.1}, r"runtime\.gpus_per_host=1\.1 is out of range: 0 to 1"),
        ({"shops_per_batch": 0}, r"runtime\.shops_per_batch=0 is out of range: 1 or more, or null to measure"),
        ({"gpu_memory_gib": 1.9}, r"runtime\.gpu_memory_gib=1\.9 is out of range: 2 or more, or null"),
        ({"host_restarts": -1}, r"runtime\.host_restarts=-1 is out of range: 0 or more"),
        ({"stall_seconds": 0}, r"runtime\.stall_seconds=0 is out of range: above 0, or null"),
        ({"host_memory_gib": 0.9}, r"runtime\.host_memory_gib=0\.9 is out of range: 1 or more, or null"),
    ],
)
def test_what_no_host_can_be_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HostSettings(**changed)


def test_the_ends_of_the_ranges_are_in_them() -> None:
    least = HostSettings(0, 1, 0.0, None, 1, 2.0, 1.0, 0, 0.1)
    assert not least.use_gpu
    assert replace(least, gpus_per_host=0.25).use_gpu and replace(least, gpus_per_host=1.0).use_gpu


def test_runs_share_hosts_that_differ_in_what_they_may_use_alone() -> None:
    freer = replace(
        MEASURED, shops_per_batch=3, gpu_memory_gib=8.0, host_memory_gib=2.0, host_restarts=0, stall_seconds=None
    )
    assert freer.pool == MEASURED.pool
    for changed in ({"hosts": 2}, {"threads_per_host": 2}, {"gpus_per_host": 0.5}, {"ray_address": "auto"}):
        assert replace(MEASURED, **changed).pool != MEASURED.pool  # type: ignore[arg-type]
