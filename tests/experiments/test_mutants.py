"""The table of rates that `make mutants` ends with."""

import runpy
from collections import Counter
from pathlib import Path

RATES = runpy.run_path(str(Path(__file__).parents[2] / "experiments" / "mutants" / "rates.py"))


def test_a_rate_is_of_what_was_tried_and_time_out_is_caught() -> None:
    found = {
        "evolution": Counter({"killed": 6, "timeout": 1, "survived": 2, "no tests": 1}),
        "core": Counter({"killed": 3, "not checked": 4, "suspicious": 1}),
    }
    lines = [line.split() for line in RATES["table"](found)]
    assert lines == [
        ["room", "changes", "caught", "missed", "other", "rate"],
        ["core", "8", "3", "0", "5", "100.0%"],
        ["evolution", "10", "7", "3", "0", "70.0%"],
        ["all", "18", "10", "3", "5", "76.9%"],
    ]
    assert [line.split() for line in RATES["table"]({})][1] == ["all", "0", "0", "0", "0"]


def test_rooms_are_the_packages() -> None:
    rooms = {module: RATES["room_of"](module) for module in ("ecc_fed.core.facts", "ecc_fed.evolution.review.marks")}
    assert rooms == {"ecc_fed.core.facts": "core", "ecc_fed.evolution.review.marks": "evolution"}
    assert RATES["room_of"]("ecc_fed.federation.aggregation.averaging") == "federation.aggregation"
