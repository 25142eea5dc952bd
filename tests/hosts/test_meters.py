"""What a host's memory is measured by."""

from ecc_fed.hosts.memory import GIB, free_host_bytes, peak_resident_bytes, resident_bytes
from ecc_fed.hosts.meters import GpuMeter, HostMeter


def test_a_host_is_measured_by_what_it_holds():
    held = []
    small = HostMeter(4.0, 1)
    before = resident_bytes()
    peak = small.peak_bytes(lambda: held.append(bytearray(b"x" * 80_000_000)))
    assert peak - before > 70_000_000
    assert small.budget_bytes == 4 * GIB
    share, half = HostMeter(None, 1), HostMeter(None, 2)
    assert resident_bytes() < half.budget_bytes < share.budget_bytes < resident_bytes() + free_host_bytes()
    assert peak_resident_bytes() >= resident_bytes() * 0.9


def test_a_gpus_budget_leaves_room_for_broken_up_memory():
    assert GpuMeter(10 * GIB).budget_bytes == 9 * GIB
