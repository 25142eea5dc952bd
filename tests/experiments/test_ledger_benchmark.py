"""The benchmark of the ledger in small: what it counts is what Flower writes."""

from experiments.benchmarks.ledger import figures


def test_every_way_is_measured_and_the_ledger_has_flowers_bytes() -> None:
    found = figures(0.25)
    assert found["ledger"][1] == found["again"][1] == found["protobuf"][1] > 2**18
    assert found["objects"][1] > found["protobuf"][1], "every part is wrapped by itself"
    assert all(seconds > 0 for seconds, _ in found.values())
