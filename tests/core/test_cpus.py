import math
import os
from pathlib import Path

import pytest

from ecc_fed.core import cpus
from ecc_fed.core.cpus import limit_threads, share_of_time, usable_cpus


def _written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("own", "files", "share"),
    [
        ("0::/", {"cpu.max": "250000 100000\n"}, 2.5),
        ("0::/", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/a/b", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, 1.5),
        ("0::/a/b", {"a/cpu.max": "400000 100000", "a/b/cpu.max": "50000 100000"}, 0.5),
        ("0::/of/the/host", {"cpu.max": "300000 100000"}, 3.0),
        (
            "4:memory:/\n1:cpu,cpuacct:/docker/x",
            {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"},
            2,
        ),
        (
            "1:cpuacct,cpu:/x",
            {
                "cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
                "cpu,cpuacct/x/cpu.cfs_quota_us": "100000",
                "cpu,cpuacct/x/cpu.cfs_period_us": "100000",
            },
            1,
        ),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
        ("0::/", {"cpu.max": "nonsense"}, math.inf),
        ("", {}, math.inf),
        ("0::relative", {"cpu.max": "200000 100000"}, 2),
    ],
)
def test_the_tightest_group_around_the_process_decides(
    own: str, files: dict[str, str], share: float, tmp_path: Path
) -> None:
    (tmp_path / "own").write_text(own)
    assert share_of_time(_written(tmp_path / "groups", files), tmp_path / "own") == share


def test_without_control_groups_nothing_limits_time(tmp_path: Path) -> None:
    assert share_of_time(tmp_path / "none", tmp_path / "nothing") == math.inf


@pytest.mark.parametrize(("share", "allowed", "usable"), [(math.inf, 3, 3), (2.5, 8, 2), (0.5, 8, 1), (4.0, 1, 1)])
def test_cpus_are_those_allowed_within_the_share(
    share: float, allowed: int, usable: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(allowed)), raising=False)
    monkeypatch.setattr(cpus, "share_of_time", lambda: share)
    assert usable_cpus() == usable


def test_threads_are_limited_by_a_share_alone_and_a_users_number_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    for share, before, after in ((math.inf, None, None), (2.0, None, "2"), (2.0, "5", "5")):
        monkeypatch.setattr(cpus, "share_of_time", lambda share=share: share)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if before is not None:
            monkeypatch.setenv("OMP_NUM_THREADS", before)
        limit_threads()
        assert os.environ.get("OMP_NUM_THREADS") == after
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
