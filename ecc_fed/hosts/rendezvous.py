"""Where the shops of a batch meet: each runs in a thread of its own until it needs a service.

Once every live shop waits for a call or has ended, the calls run together, in shop order. Who is
live at a meeting, and with which call, follows from what the shops compute and never from how fast
their threads are, so a run repeats itself. No shop runs while calls do.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

from ecc_fed.hosts.threads import start_threads

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


@dataclass(eq=False, slots=True)
class Call:
    """One shop's call to a batch method of a service: `columns` are its aligned arguments.

    Whoever executes it leaves a `result`, an item for every item of a column, or an `error`.

    Raises:
        ValueError: the columns differ in length.
    """

    service: str
    function: Callable[..., Any]
    columns: tuple[Sequence[Any], ...]
    result: Any = None
    error: Exception | None = None

    def __post_init__(self) -> None:
        lengths = [len(column) for column in self.columns]
        if len(set(lengths)) > 1:
            raise ValueError(f"{self.name} needs arguments of one length, got {lengths}")

    @property
    def name(self) -> str:
        """Calls of one name are one batch."""
        return f"{self.service}.{self.function.__name__}"

    def outcome(self) -> Any:
        """The result, or the error raised."""
        if self.error is not None:
            raise self.error
        assert self.result is not None, "the call was executed"
        return self.result


# Executes the calls of one meeting, in shop order; must not raise for any of them.
Execute = Callable[[Sequence[Call]], None]


class _Abandoned(BaseException):
    """Ends the thread of a shop that nobody waits for any more."""


class _Shop:
    """A live shop: at work, or waiting with a call."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.call: Call | None = None
        self.go_on = threading.Event()
        self.abandoned = False


@dataclass(frozen=True, slots=True)
class Ended(Generic[Result]):
    """What a shop's task returned, or the error that it raised."""

    place: int
    result: Result | None
    error: Exception | None


class Rendezvous:
    """Runs the tasks of a batch and the calls in which they meet.

    Args:
        execute: runs a meeting's calls, on the thread that iterates over `run`.
    """

    def __init__(self, execute: Execute) -> None:
        self._execute = execute
        self._mine = threading.local()
        self._changed = threading.Condition()
        self._alone = threading.Lock()

    def call(self, call: Call) -> Any:
        """From a shop's thread: waits for the meeting. From any other thread: executes the call at once."""
        shop: _Shop | None = getattr(self._mine, "shop", None)
        if shop is None:
            with self._alone:
                self._execute([call])
            return call.outcome()
        with self._changed:
            shop.call = call
            self._changed.notify()
        shop.go_on.wait()
        shop.go_on.clear()
        if shop.abandoned:
            raise _Abandoned
        return call.outcome()

    def alone(self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """Calls what needs no meeting, one shop at a time."""
        with self._alone:
            return function(*args, **kwargs)

    def run(self, tasks: Sequence[Callable[[], Result]]) -> Iterator[Ended[Result]]:
        """Runs the tasks, one per shop, side by side, and yields each as it ends.

        If the iteration is given up, the shops end where they next wait.
        """
        live = [_Shop(place) for place in range(len(tasks))]
        ended: deque[Ended[Result]] = deque()

        def work(shop: _Shop, task: Callable[[], Result]) -> None:
            self._mine.shop = shop
            try:
                outcome = Ended(shop.place, task(), None)
            except Exception as error:
                outcome = Ended(shop.place, None, error)
            except _Abandoned:
                return
            with self._changed:
                live.remove(shop)
                ended.append(outcome)
                self._changed.notify()

        threads = [
            threading.Thread(target=work, args=(shop, task), name=f"shop-{shop.place}", daemon=True)
            for shop, task in zip(live, tasks, strict=True)
        ]
        start_threads(threads)
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: ended or all(shop.call is not None for shop in live))
                    ready = [ended.popleft() for _ in range(len(ended))]
                    waiting = list(live)
                if ready:
                    yield from ready
                elif waiting:
                    self._meet(waiting)
                else:
                    return
        finally:
            with self._changed:
                for shop in live:
                    shop.abandoned = True
                    shop.go_on.set()

    def _meet(self, waiting: Sequence[_Shop]) -> None:
        """Every live shop waits, in shop order: nothing else runs meanwhile."""
        self._execute([shop.call for shop in waiting if shop.call is not None])
        for shop in waiting:
            shop.call = None
        for shop in waiting:
            shop.go_on.set()
