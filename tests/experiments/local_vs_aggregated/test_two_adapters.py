"""Choosing between two replies by what a device knows of them, on replies of which all is known."""

from types import SimpleNamespace
from typing import Any

import pytest

from ecc_fed.core.errors import UserError
from ecc_fed.core.rows import FactRow, SampleRow, Signals
from experiments.local_vs_aggregated.two_adapters import as_run, best_bound, choices, near, surer, table


def row(seed: int, number: int, reply: str, right: bool, margin: float | None, distance: float | None) -> SampleRow:
    fact = FactRow("courier", "courier", "shop", ("圆通",), True, right, (), (), 1, None)
    signals = None if margin is None and distance is None else Signals(margin, distance)
    return SampleRow(
        f"shop_{number % 2}", f"{number}", f"{seed}/{number}", "final", False, 3, (), f"q{seed}/{number}", "r", reply,
        None, None, None, None, None, None, None, None, None, (fact,), 10.0, False, 1.0, 3, 3, signals, None,
    )  # fmt: skip


def rows(reply: str, right: Any, margin: Any, distance: Any = None) -> dict[Any, SampleRow]:
    """Eight questions for each of three seeds; question n lies at distance n / 10."""
    return {
        (seed, f"shop_{n % 2}", str(n)): row(
            seed, n, reply, right(n), margin(n), n / 10 if distance is None else distance
        )
        for seed in (0, 1, 2)
        for n in range(8)
    }


# At home near questions are right, at the server far ones; each is surer of what it knows.
OWN = rows("own", lambda n: n < 4, lambda n: 0.9 if n < 4 else 0.2)
SHARED = rows("shared", lambda n: n >= 3, lambda n: 0.5, 0.0)


def test_the_surer_reply_is_taken_and_the_own_one_where_neither_tells() -> None:
    taken = surer(OWN, SHARED)
    assert [taken[0, f"shop_{n % 2}", str(n)].reply for n in range(8)] == ["own"] * 4 + ["shared"] * 4
    silent = {key: row(0, 1, "own", True, None, None) for key in OWN}
    assert {
        each.reply for each in surer(silent, {key: row(0, 1, "shared", True, None, None) for key in OWN}).values()
    } == {"own"}


def test_near_questions_are_answered_at_home_by_the_distance_that_the_device_knows() -> None:
    taken = near(OWN, SHARED, 0.2, OWN)
    assert [taken[1, f"shop_{n % 2}", str(n)].reply for n in range(8)] == ["own"] * 3 + ["shared"] * 5
    assert {each.reply for each in near(OWN, SHARED, 1.0, OWN).values()} == {"own"}


def test_a_bound_is_looked_for_on_the_other_seeds_and_the_largest_of_equals_is_taken() -> None:
    assert best_bound(lambda bound: near(OWN, SHARED, bound, OWN), 0) == 0.35, "questions 0 to 3 at home: all right"
    # On seed 2 the server knows all; who leaves it out does not see that.
    knowing = {key: (row(2, 0, "shared", True, 0.5, 0.0) if key[0] == 2 else value) for key, value in SHARED.items()}
    weak = {key: (row(2, 0, "own", False, 0.9, 0.0) if key[0] == 2 else value) for key, value in OWN.items()}
    assert best_bound(lambda bound: near(weak, knowing, bound, OWN), 2) == 0.35
    assert best_bound(lambda bound: near(weak, knowing, bound, OWN), 0) < 0.35


def world(groups: dict[str, Any]) -> Any:
    named = [SimpleNamespace(method_label=label, label=label) for label in groups]
    return SimpleNamespace(groups=named, finals=groups, label="")


def test_all_ways_stand_in_one_table_paired_with_local() -> None:
    found = choices(world({"local": OWN, "retrieval": OWN, "aggregated (x)": SHARED}))
    assert [choice.name.split(" (bounds")[0] for choice in found] == [
        "local",
        "retrieval",
        "aggregated (x)",
        "surer of own and aggregated (x)",
        "own where near, else aggregated (x)",
        "copy where near, else aggregated (x)",
        "either is right (ceiling), aggregated (x)",
    ]
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in table(found).splitlines()[2:]}
    assert "50.0%" in lines["local"] and lines["local"].count("–") == 4, "no platform facts"
    assert "+50.0" in lines["surer of own and aggregated (x)"] and "+12.5" in lines["aggregated (x)"]
    assert "own where near, else aggregated (x) (bounds 0.35)" in lines


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"local": OWN}, "no runs of arm local beside others of arm aggregated"),
        ({"aggregated": SHARED}, "no runs of arm local"),
        (
            {"local": {key: row(0, 1, "own", True, None, None) for key in OWN}, "aggregated": SHARED},
            "do not tell how near",
        ),
    ],
)
def test_runs_that_lack_something_are_refused(groups: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        choices(world(groups))


def test_arms_as_they_were_run_stand_against_the_one_that_is_named() -> None:
    found = as_run(world({"retrieval": OWN, "local (answering=ModelAlone)": SHARED}), "local (answering=ModelAlone)")
    assert [choice.name for choice in found] == ["local (answering=ModelAlone)", "retrieval"]
    head, _, first, second = table(found).splitlines()
    assert "against `local (answering=ModelAlone)`" in head and "–" in first and "-12.5" in second
    with pytest.raises(UserError, match=r"No arm is called local\. There are: retrieval, local \("):
        as_run(world({"retrieval": OWN, "local (x)": SHARED}), "local")
