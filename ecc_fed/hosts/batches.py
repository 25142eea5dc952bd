"""Executes the calls of a meeting: one call per service and method, its parts told apart afterwards.

A batch that fails is split in halves until the part that fails stands alone, so one shop's error is
its own. A batch that runs out of memory halves the batch size from then on; it is done again in parts,
and nothing is lost. Calls to the teacher are never repeated, as what was
sent to a cloud was sent: the gateway tells single failures apart by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from ecc_fed.core.heartbeat import beat
from ecc_fed.hosts.batch_size import out_of_memory
from ecc_fed.hosts.memory import OutOfMemory, free_caches, is_out_of_memory
from ecc_fed.hosts.rendezvous import Call
from ecc_fed.hosts.reports import BatchHalved

END_MODEL, JUDGE, TEACHER = "end_model", "judge", "teacher"


class Batches:
    """Executes meetings. `limit`: the most shops of one batch, and of one wave."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.server_round = 0  # for the records
        self.halvings: list[BatchHalved] = []
        self.service_seconds: dict[str, float] = {}

    def execute(self, calls: Sequence[Call]) -> None:
        """Leaves a result or an error in every call.

        The teacher answers while the end model works. Judges come last: they may share a model
        with a simulated teacher.
        """
        groups: dict[str, list[Call]] = {}
        for call in calls:
            groups.setdefault(call.name, []).append(call)
        cloud = [group for group in groups.values() if group[0].service == TEACHER]
        end_model = [group for group in groups.values() if group[0].service == END_MODEL]
        others = [group for group in groups.values() if group[0].service not in (TEACHER, END_MODEL)]
        if cloud and end_model:
            asking = threading.Thread(target=self._run, args=(cloud,), name="teacher", daemon=True)
            asking.start()
            self._run(end_model)
            asking.join()
        else:
            self._run([*cloud, *end_model])
        self._run(others)

    def halve(self, shops: int, error: Exception) -> None:
        """Makes a batch at most half of `shops`, which ran out of memory together."""
        limit = min(self.limit, max(1, shops // 2))
        reason = str(error).strip().splitlines()
        self.halvings.append(
            BatchHalved(self.server_round, shops, limit, f"{type(error).__name__}: {reason[0] if reason else ''}")
        )
        self.limit = limit

    def _run(self, groups: Sequence[list[Call]]) -> None:
        for group in groups:
            service = group[0].service
            started = time.perf_counter()
            if service == TEACHER:
                self._ask(group)
            else:
                limit, halvings = self.limit, len(self.halvings)
                self._limited(group)
                if any(isinstance(call.error, OutOfMemory) for call in group):
                    # It was that one shop, not how many there were.
                    self.limit = limit
                    del self.halvings[halvings:]
            beat()
            spent = time.perf_counter() - started
            self.service_seconds[service] = self.service_seconds.get(service, 0.0) + spent

    def _ask(self, calls: list[Call]) -> None:
        error = _together(calls)
        for call in calls:
            call.error = error

    def _limited(self, calls: list[Call]) -> None:
        while calls:
            part, calls = calls[: self.limit], calls[self.limit :]
            self._part(part)

    def _part(self, calls: list[Call]) -> None:
        error = _together(calls)
        if error is None:
            return
        memory = is_out_of_memory(error)
        if memory:
            # A copy: the frames of the failed step hold its tensors.
            error = type(error)(*error.args)
            free_caches()
        if len(calls) == 1:
            calls[0].error = out_of_memory(calls[0].name, error) if memory else error
            return
        if memory:
            self.halve(len(calls), error)
            self._limited(calls)
        else:
            middle = len(calls) // 2
            self._part(calls[:middle])
            self._part(calls[middle:])


def _together(calls: Sequence[Call]) -> Exception | None:
    """One call for all; their results, or the error."""
    columns = [[item for column in parts for item in column] for parts in zip(*(c.columns for c in calls), strict=True)]
    try:
        results = calls[0].function(*columns)
        if len(results) != len(columns[0]):
            raise ValueError(f"{calls[0].name} gave {len(results)} results for {len(columns[0])} items")
    except Exception as error:
        return error
    start = 0
    for call in calls:
        stop = start + len(call.columns[0])
        call.result = results[start:stop]
        start = stop
    return None
