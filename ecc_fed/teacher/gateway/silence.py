"""A teacher that has stopped answering is asked by one call at a time, until it answers again.

Without this a run whose teacher dies would wait out every retry of every call, for hours where calls time out.
"""

from __future__ import annotations

from collections.abc import Sequence

from ecc_fed.core.completion import Completion
from ecc_fed.teacher.gateway.sending import Call

# So many calls in a row, each tried to its end, and none heard.
GONE_AFTER = 16
_UNHEARD = ("unavailable", "timeout")


class Silence:
    """For how many calls in a row nothing was heard of the teacher."""

    def __init__(self) -> None:
        self._unheard = 0
        self._last = ""

    @property
    def gone(self) -> bool:
        """Whether it has been silent for so long that one call is to find out first."""
        return self._unheard >= GONE_AFTER

    def note(self, calls: Sequence[Call]) -> None:
        """The calls, in order, have ended."""
        for call in calls:
            ended = call.completion
            if ended is None or ended.outcome == "budget" or not call.attempts:
                continue
            self._unheard = self._unheard + 1 if ended.outcome in _UNHEARD else 0
            self._last = f"{ended.outcome}: {ended.detail}"

    def refuse(self, calls: Sequence[Call]) -> None:
        """Ends calls without an attempt."""
        for call in calls:
            said = f"not asked: the teacher was silent for {self._unheard} calls in a row, at last with {self._last}"
            call.completion = Completion(None, "unavailable", "", detail=said)
