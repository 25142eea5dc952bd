"""Shops in threads meet in their calls: batches, order, isolation, and no trace of thread timing."""

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from ecc_fed.hosts.batches import END_MODEL, JUDGE, TEACHER, Batches
from ecc_fed.hosts.memory import OutOfMemory
from ecc_fed.hosts.rendezvous import Call, Rendezvous

WAIT_SECONDS = 60


class Service:
    """Doubles numbers; notes every batch. Refuses `bad` numbers; holds `room` items at once."""

    def __init__(self, room: int = 1000) -> None:
        self.batches: list[list[int]] = []
        self.room = room
        self.at_work = 0

    def double(self, numbers: Sequence[int]) -> list[int]:
        self.at_work += 1
        assert self.at_work == 1, "one batch at a time"
        self.batches.append(list(numbers))
        try:
            if len(numbers) > self.room:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
            if -1 in numbers:
                raise ValueError("no negative numbers")
            return [2 * number for number in numbers]
        finally:
            self.at_work -= 1

    def total(self, left: Sequence[int], right: Sequence[int]) -> np.ndarray:
        self.batches.append([*left, *right])
        return np.array(left) + np.array(right)


class Meeting:
    def __init__(self, limit: int = 100) -> None:
        self.batches = Batches(limit)
        self.rendezvous = Rendezvous(self.batches.execute)

    def call(self, function: Callable, *columns: Sequence, service: str = END_MODEL):
        return self.rendezvous.call(Call(service, function, columns))

    def run(self, tasks: Sequence[Callable]) -> list:
        """Results, or errors, in shop order."""
        results: dict[int, object] = {}

        def iterate() -> None:
            for ended in self.rendezvous.run(tasks):
                results[ended.place] = ended.result if ended.error is None else ended.error

        worker = threading.Thread(target=iterate, daemon=True)
        worker.start()
        worker.join(WAIT_SECONDS)
        assert not worker.is_alive(), "the shops wait for each other for ever"
        assert sorted(results) == list(range(len(tasks)))
        return [results[place] for place in range(len(tasks))]


def test_calls_of_all_shops_are_one_batch_in_shop_order():
    service, meeting = Service(), Meeting()

    def shop(place: int):
        time.sleep(0.003 * (5 - place))  # the first shop comes last
        first = meeting.call(service.double, [place, place + 10])
        return first, meeting.call(service.double, first[:1])

    results = meeting.run([lambda place=place: shop(place) for place in range(5)])
    assert results == [([2 * p, 2 * p + 20], [4 * p]) for p in range(5)]
    assert service.batches == [[0, 10, 1, 11, 2, 12, 3, 13, 4, 14], [0, 2, 4, 6, 8]]


def test_different_calls_of_one_meeting_are_a_batch_each():
    service, meeting = Service(), Meeting()
    tasks = [
        lambda: meeting.call(service.total, [1, 2], [3, 4], service=JUDGE).tolist(),
        lambda: meeting.call(service.double, [5]),
        lambda: meeting.call(service.total, [6], [7], service=JUDGE).tolist(),
        lambda: meeting.call(service.double, []),
    ]
    assert meeting.run(tasks) == [[4, 6], [10], [13], []]
    assert service.batches == [[5], [1, 2, 6, 3, 4, 7]]


def test_the_limit_splits_a_batch_but_not_the_teachers():
    service, meeting = Service(), Meeting(limit=2)
    tasks = [
        lambda place=place, kind=kind: meeting.call(service.double, [place], service=kind)
        for kind in (TEACHER, JUDGE)
        for place in range(3)
    ]
    assert meeting.run(tasks) == [[0], [2], [4]] * 2
    assert service.batches == [[0, 1, 2], [0, 1], [2]]


def test_a_failing_shop_fails_alone():
    service, meeting = Service(), Meeting()

    def shop(place: int):
        first = meeting.call(service.double, [-1 if place == 3 else place])
        return meeting.call(service.double, first)

    results = meeting.run([lambda place=place: shop(place) for place in range(6)])
    assert isinstance(results[3], ValueError)
    assert str(results[3]) == "no negative numbers"
    assert [r for p, r in enumerate(results) if p != 3] == [[4 * p] for p in range(6) if p != 3]
    assert service.batches[-1] == [0, 2, 4, 8, 10]  # the others went on together


def test_a_failing_teacher_is_not_asked_again():
    service, meeting = Service(), Meeting()
    results = meeting.run([lambda p=p: meeting.call(service.double, [p], service=TEACHER) for p in (-1, 1)])
    assert [str(result) for result in results] == ["no negative numbers"] * 2
    assert service.batches == [[-1, 1]]


def test_a_service_that_gives_too_few_results_is_found_out():
    meeting = Meeting()

    def forgetful(items: Sequence[int]) -> list[int]:
        return list(items[:2])

    results = meeting.run([lambda p=p: meeting.call(forgetful, [p]) for p in range(3)])
    assert results == [[0], [1], [2]]  # each alone is right
    error = meeting.run([lambda: meeting.call(forgetful, [1, 2, 3])])[0]
    assert str(error) == "end_model.forgetful gave 2 results for 3 items"


def test_arguments_of_different_lengths_never_reach_a_batch():
    service, meeting = Service(), Meeting()
    tasks = [lambda: meeting.call(service.total, [1, 2], [3]), lambda: meeting.call(service.total, [1], [3]).tolist()]
    error, right = meeting.run(tasks)
    assert str(error) == "end_model.total needs arguments of one length, got [2, 1]"
    assert right == [4]


def test_shops_that_end_early_or_late_or_raise_block_nobody():
    service, meeting = Service(), Meeting()

    def shop(place: int):
        total = 0
        for step in range(place):
            total += meeting.call(service.double, [step])[0]
            if place == 4 and step == 2:
                raise KeyError("lost")
        return total

    results = meeting.run([lambda place=place: shop(place) for place in range(7)])
    assert isinstance(results.pop(4), KeyError)
    assert results == [sum(2 * step for step in range(place)) for place in (0, 1, 2, 3, 5, 6)]
    assert [len(batch) for batch in service.batches] == [6, 5, 4, 2, 2, 1]


def test_shops_may_come_and_go_without_any_call():
    assert Meeting().run([]) == []
    assert Meeting().run([lambda: 1, lambda: 2]) == [1, 2]


@pytest.mark.parametrize("seed", range(4))
def test_thread_timing_leaves_no_trace(seed):
    def batches(jitter: np.random.Generator | None) -> tuple:
        service, meeting = Service(), Meeting(limit=3)

        def pause() -> None:
            if jitter is not None:
                time.sleep(float(jitter.random()) * 0.004)

        def shop(place: int):
            numbers, results = [place], []
            for step in range(3 + place % 3):
                pause()
                numbers = meeting.call(service.double, numbers)
                if place % 2 == step % 2:
                    pause()
                    numbers = meeting.call(service.total, numbers, [1], service=JUDGE).tolist()
                if place == 2 and step == 1:
                    raise RuntimeError("gone")
                results.append(numbers)
            return results

        results = meeting.run([lambda place=place: shop(place) for place in range(7)])
        return [str(result) for result in results], service.batches

    assert batches(np.random.default_rng(seed)) == batches(None)


def test_out_of_memory_halves_the_batch_and_loses_nothing():
    service, meeting = Service(room=3), Meeting(limit=8)
    tasks = [lambda p=p: meeting.call(service.double, meeting.call(service.double, [p])) for p in range(8)]
    assert meeting.run(tasks) == [[4 * p] for p in range(8)]
    assert service.batches[:6] == [list(range(8)), [0, 1, 2, 3], [0, 1], [2, 3], [4, 5], [6, 7]]
    assert meeting.batches.limit == 2
    assert [(h.shops, h.limit) for h in meeting.batches.halvings] == [(8, 4), (4, 2)]
    assert "can't allocate memory" in meeting.batches.halvings[0].reason
    assert [len(batch) for batch in service.batches[6:]] == [2, 2, 2, 2]


def test_a_shop_that_alone_does_not_fit_is_told_what_to_do():
    service, meeting = Service(room=3), Meeting()
    results = meeting.run([lambda: meeting.call(service.double, [1] * 4), lambda: meeting.call(service.double, [1])])
    assert isinstance(results[0], OutOfMemory)
    assert "end_model.double of one shop alone runs out of memory" in str(results[0])
    assert "finetune.batch_size" in str(results[0])
    assert results[1] == [2]
    assert (meeting.batches.limit, meeting.batches.halvings) == (100, [])  # the others go on together


def test_the_teacher_works_while_the_end_model_does():
    both = threading.Barrier(2, timeout=WAIT_SECONDS)

    def ask(items):
        both.wait()
        return items

    def compute(items):
        both.wait()
        return items

    meeting = Meeting()
    tasks = [lambda: meeting.call(ask, [1], service=TEACHER), lambda: meeting.call(compute, [2])]
    assert meeting.run(tasks) == [[1], [2]]
    assert set(meeting.batches.service_seconds) == {TEACHER, END_MODEL}


def test_a_call_from_outside_any_shop_runs_at_once():
    assert Meeting().call(Service().double, [3]) == [6]


def test_what_needs_no_meeting_runs_one_shop_at_a_time():
    meeting, inside = Meeting(), []

    def slow(place: int) -> int:
        inside.append(place)
        assert len(inside) == 1
        time.sleep(0.002)
        inside.remove(place)
        return place

    assert meeting.run([lambda p=p: meeting.rendezvous.alone(slow, p) for p in range(6)]) == list(range(6))


def test_a_run_that_is_given_up_ends_its_shops():
    meeting, service = Meeting(), Service()
    before = threading.active_count()

    def waits() -> None:
        meeting.call(service.double, [1])
        meeting.call(service.double, [2])

    running = meeting.rendezvous.run([lambda: None, waits, waits])
    next(running)
    running.close()
    deadline = time.monotonic() + WAIT_SECONDS
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
