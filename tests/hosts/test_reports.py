"""What is told of a host that took the place of another."""

from ecc_fed.hosts.reports import NOTHING_USED, BatchHalved, HostReport, HostRestarted

HALVED, RESTARTED = BatchHalved(1, 8, 4, "out of memory"), HostRestarted(2, 3, "its process ended")
EARLIER = HostReport(1, 100, 7, 4, "eight fit", (HALVED,), 2.0, {"judge": 1.0, "teacher": 2.0}, (RESTARTED,))


def test_a_new_host_adds_to_what_the_one_before_it_used():
    later = HostReport(2, 90, 9, 4, "runtime.shops_per_batch=4", (), 0.5, {"judge": 0.25, "end_model": 3.0})
    assert later.after(EARLIER) == HostReport(
        base_loads=3,
        peak_rss_bytes=100,
        peak_gpu_bytes=9,
        shops_per_batch=4,
        batch_reason="eight fit",
        halvings=(HALVED,),
        busy_seconds=2.5,
        service_seconds={"judge": 1.25, "teacher": 2.0, "end_model": 3.0},
        restarts=(RESTARTED,),
    )


def test_of_a_host_of_which_nothing_is_known_what_was_before_it_stands():
    assert NOTHING_USED.after(EARLIER) == EARLIER
    assert EARLIER.after(NOTHING_USED) == EARLIER
