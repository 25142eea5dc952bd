"""How far a batch shrinks when memory runs out."""

from collections.abc import Sequence

import pytest

from ecc_fed.hosts.batches import END_MODEL, Batches
from ecc_fed.hosts.rendezvous import Call


@pytest.mark.parametrize(
    ("limit", "shops", "left"),
    [
        (8, 8, 4),
        (8, 5, 2),  # half of those that failed together, not of the limit
        (8, 1, 1),  # never none
        (2, 8, 2),  # a wave that was started before an earlier halving raises no limit
        (1, 2, 1),
    ],
)
def test_a_batch_is_at_most_half_of_what_ran_out_of_memory(limit: int, shops: int, left: int) -> None:
    batches = Batches(limit)
    batches.server_round = 3
    batches.halve(shops, MemoryError("no room\nfor more"))
    assert batches.limit == left
    (record,) = batches.halvings
    assert (record.server_round, record.shops, record.limit) == (3, shops, left)
    assert record.reason == "MemoryError: no room"


@pytest.mark.parametrize("room", [1, 2, 3, 6, 7])
def test_no_batch_is_larger_than_what_fitted_last_and_none_smaller_than_it_must_be(room: int) -> None:
    sizes: list[int] = []

    def square(numbers: Sequence[int]) -> list[int]:
        sizes.append(len(numbers))
        if len(numbers) > room:
            raise MemoryError
        return [number**2 for number in numbers]

    batches = Batches(7)
    calls = [Call(END_MODEL, square, ([number],)) for number in range(7)]
    batches.execute(calls)
    assert [call.outcome() for call in calls] == [[number**2] for number in range(7)]
    expected = 7
    while expected > room:
        expected //= 2
    assert batches.limit == expected
    done = [size for size in sizes if size <= room]
    assert done == [expected] * (7 // expected) + [7 % expected] * (7 % expected > 0)
    assert [halved.limit for halved in batches.halvings] == [7 // 2**n for n in range(1, len(batches.halvings) + 1)]
