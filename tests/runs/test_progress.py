"""What a run tells of its stages."""

from ecc_fed.hosts.reports import HostReport
from ecc_fed.runs.progress import Stages


def test_a_run_of_two_shops_and_one_round_is_told_from_its_loading_to_its_last_shop() -> None:
    told: list[tuple[str, int, int]] = []
    stages = Stages(lambda stage, done, total: told.append((stage, done, total)), num_shops=2, shops_a_round=[2])
    stages.loading()
    stages.hosts_ready([HostReport(1, 0, 0, 4, "four fit"), HostReport(1, 0, 0, 8, "eight fit")])
    for phase, server_round in (("base", 0), ("train", 1), ("final", 1)):
        for shop_id in ("a", "b"):
            stages.shop_done(phase, server_round, shop_id, 0.5)
    assert told == [
        ("loading the models", 0, 6),
        ("2 hosts, 8 shops side by side (eight fit)", 0, 6),
        ("evaluating (base)", 1, 6),
        ("evaluating (base)", 2, 6),
        ("round 1 of 1", 3, 6),
        ("round 1 of 1", 4, 6),
        ("evaluating (final)", 5, 6),
        ("evaluating (final)", 6, 6),
    ]


def test_a_run_that_goes_on_counts_who_took_part_before() -> None:
    told: list[tuple[int, int]] = []
    Stages(lambda stage, done, total: told.append((done, total)), 5, [2, 3, 1], finished_round=2).loading()
    assert told == [(5 + 2 + 3, 5 + 2 + 3 + 1 + 5)]


def test_one_host_is_one_host() -> None:
    told: list[str] = []
    Stages(lambda stage, done, total: told.append(stage), 1, [1]).hosts_ready([HostReport(1, 0, 0, 1, "alone")])
    assert told == ["1 host, one shop at a time (alone)"]
