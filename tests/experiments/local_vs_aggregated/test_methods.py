"""The table of methods: what each goes with, by asking, and its figures."""

from types import SimpleNamespace

import pytest

from ecc_fed.assembly.compose import compose_run, to_run_config
from experiments.local_vs_aggregated.methods import Fits, fits, method_table


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["strategy=fedavg"], Fits(mixed_ranks=False, secure=True, private=True, clipped=True)),
        (["strategy=flexlora"], Fits(mixed_ranks=True, secure=False, private=True, clipped=True)),
        (["strategy=hetlora", "adapter.ranks=[4,8]"], Fits(mixed_ranks=True, secure=False, private=True, clipped=True)),
        # Its replies show the shop's own examples, which no budget of training bounds.
        (
            ["strategy=fedavg", "answering=nearest_or_model"],
            Fits(mixed_ranks=False, secure=True, private=False, clipped=True),
        ),
        (["strategy=clusters"], Fits(mixed_ranks=False, secure=False, private=True, clipped=True)),
        (["strategy=scaffold"], Fits(mixed_ranks=False, secure=False, private=True, clipped=False)),
        (
            ["strategy=fedavg", "adapter.shared_rank=4"],
            Fits(mixed_ranks=False, secure=True, private=True, clipped=True),
        ),
    ],
)
def test_what_a_method_goes_with_is_asked_of_its_plan(overrides: list[str], expected: Fits) -> None:
    assert fits(to_run_config(compose_run(["arm=aggregated", *overrides]))) == expected


def figures(label: str, worst: float | None, seconds: float | None = None) -> SimpleNamespace:
    group = SimpleNamespace(method_label=label)
    return SimpleNamespace(group=group, worst=worst, bytes_up=2000.0, bytes_down=None, server_seconds=seconds)


def test_a_method_is_as_exact_as_in_its_worst_world() -> None:
    found = [figures("a", 1e-9, 0.5), figures("b", None), figures("a", 0.25)]
    of = {"a": Fits(True, False, True, True), "b": Fits(False, True, False, False)}
    lines = method_table(found, of).splitlines()  # type: ignore[arg-type]
    assert lines[2] == "| `a` | no | 0.25 | 2 kB | – | 0.50 | yes | no | yes | yes |"
    assert lines[3] == "| `b` | – | – | 2 kB | – | – | no | yes | no | no |"
    assert "below 1e-05" in method_table(found[:1], of)  # type: ignore[arg-type]
