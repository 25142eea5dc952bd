"""The benchmark of secure aggregation in small: every figure is there, and the sums are right."""

from experiments.benchmarks.secure_aggregation import figures, line
from tests.federation.fakes import SHAPES


def test_every_figure_is_measured() -> None:
    found = figures(4, SHAPES)
    assert found["secure"]["max_difference"] <= 1e-6 and found["plain"]["max_difference"] == 0.0
    assert found["secure"]["neighbours"] == 3
    assert found["secure"]["up_bytes"]["secure_aggregation"] > 64 + 3 * 82 + 4 * 33
    assert "secure_aggregation" not in found["plain"]["up_bytes"]
    assert all(
        seconds > 0
        for seconds in (found["secure"]["device_seconds"], found["secure"]["server_seconds"], *found["stock"].values())
    )
    assert line(4, found).count("|") == 13
