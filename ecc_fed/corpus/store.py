"""Cleaned sessions of a file of any size: text in an unnamed temporary file, a few bytes per session in memory.

Reading a corpus needs two looks (what is there, then which shop takes what). The sessions kept by the first look
are written once, in compact form, and read back by number; the file has no name and vanishes with the store,
also when the process is killed.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterator, Sequence
from typing import BinaryIO, cast, overload

import numpy as np
import numpy.typing as npt

from ecc_fed.core.errors import CorpusError
from ecc_fed.core.records import Role, Session, Turn

# Separators; cleaning leaves no control character in any text.
_FIELD, _TURN = "\x1e", "\x1f"


class SessionWriter:
    """Takes sessions in order; `finish` hands them out."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="ecc_fed-corpus-")  # noqa: SIM115 - lives as long as the store
        self._ends = array("q", [0])
        self._answered = array("i")

    def append(self, session_id: str, shop: str, position: int, agent_first: bool, texts: list[str]) -> None:
        """Adds a cleaned session, whose speakers take turns; `shop` is empty where the data names none.

        Raises:
            CorpusError: the temporary folder is full.
        """
        first = "a" if agent_first else "c"
        data = f"{session_id}{_FIELD}{shop}{_FIELD}{position}{_FIELD}{first}{_FIELD}{_TURN.join(texts)}".encode()
        try:
            self._file.write(data)
        except OSError as error:
            raise _no_space(error) from error
        self._ends.append(self._ends[-1] + len(data))
        self._answered.append((len(texts) - agent_first) // 2)

    def finish(self) -> SessionStore:
        """Everything appended so far."""
        try:
            self._file.flush()
        except OSError as error:
            raise _no_space(error) from error
        ends = np.array(self._ends, dtype=np.int64)
        answered = np.array(self._answered, dtype=np.int64)
        return SessionStore(cast(BinaryIO, self._file), ends, answered, np.arange(len(answered)))


def _no_space(error: OSError) -> CorpusError:
    return CorpusError(
        f"cannot keep the cleaned corpus in {tempfile.gettempdir()}: {error.strerror}. "
        "Free space there, or set TMPDIR to a folder with as much free space as the corpus file has bytes."
    )


class SessionStore(Sequence[Session]):
    """A read-only sequence of sessions, decoded when asked for. `answered[i]`: answered customer turns of session i."""

    def __init__(
        self,
        file: BinaryIO,
        ends: npt.NDArray[np.int64],
        answered: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
    ) -> None:
        self._file = file
        self._ends = ends
        self._all_answered = answered
        self._rows = rows
        self.answered = answered[rows]

    def __len__(self) -> int:
        return len(self._rows)

    def _fields(self, index: int) -> list[str]:
        row = self._rows[index]
        start = int(self._ends[row])
        self._file.seek(start)
        return self._file.read(int(self._ends[row + 1]) - start).decode().split(_FIELD)

    @overload
    def __getitem__(self, index: int) -> Session: ...
    @overload
    def __getitem__(self, index: slice) -> SessionStore: ...
    def __getitem__(self, index: int | slice) -> Session | SessionStore:
        if isinstance(index, slice):
            return self.select(np.arange(len(self))[index])
        session_id, shop, position, first, text = self._fields(index)
        roles: tuple[Role, Role] = ("agent", "customer") if first == "a" else ("customer", "agent")
        turns = tuple([Turn(roles[i % 2], said) for i, said in enumerate(text.split(_TURN))])
        return Session(session_id, turns, shop or None, float(position))

    def __iter__(self) -> Iterator[Session]:
        return (self[i] for i in range(len(self)))

    def text(self, index: int) -> str:
        """All turns of session `index`, one on each line."""
        return self._fields(index)[4].replace(_TURN, "\n")

    def select(self, indices: npt.NDArray[np.int64]) -> SessionStore:
        """A store of the sessions at `indices`, over the same file."""
        return SessionStore(self._file, self._ends, self._all_answered, self._rows[indices])
