"""What phases asked of the cloud, added up."""

from __future__ import annotations

from dataclasses import astuple

from ecc_fed.core.rows.cloud_calls import CloudCalls


def test_phases_add_up_number_by_number_and_error_by_error() -> None:
    first = CloudCalls(1, 2, 3, 4, 5, 0.5, {"timeout": 2, "a": 1})
    second = CloudCalls(10, 20, 30, 40, 50, 0.25, {"timeout": 3, "b": 7})
    total = first + second
    assert astuple(total)[:7] == (11, 22, 33, 44, 55, 0.75, {"a": 1, "b": 7, "timeout": 5})
    assert list(total.errors) == ["a", "b", "timeout"]
    assert first + CloudCalls() == CloudCalls() + first == first
