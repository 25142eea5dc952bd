"""Replies that were paid for once, in SQLite, by shop, model and prompt.

A shop's replies are its own: on real devices each shop keeps its own file, and a reply found under
another shop would tell what that shop asked. Prompts are kept as digests only, replies as they came
from the cloud, so what was redacted stays redacted in the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ecc_fed.core.completion import TeacherPrompt
from ecc_fed.core.errors import TeacherError

# Marks the file as ours ("ECCT"), so that no other database is written into by mistake.
_APPLICATION_ID, _SCHEMA = 0x45434354, 1
_WAIT_SECONDS = 60.0
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_BATCH = 500  # keys in one query; SQLite's limit of variables is higher everywhere


@dataclass(frozen=True, slots=True)
class CachedReply:
    """A stored reply, still redacted, with the usage that was paid for it."""

    text: str
    model_version: str
    input_tokens: int
    output_tokens: int


def cache_key(model: str, decoding: Mapping[str, str | int | float], prompt: TeacherPrompt) -> str:
    """SHA-256, in hex, over the model id, everything that decides the reply, and the rendered prompt."""
    return hashlib.sha256(json.dumps([model, dict(sorted(decoding.items())), prompt.digest]).encode()).hexdigest()


class ReplyCache:
    """The cache file; `":memory:"` keeps it to this object. Safe under threads and processes.

    Raises:
        TeacherError: the file cannot be opened, read or written, or is no cache of ours.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._process = os.getpid()
        self._inherited: list[sqlite3.Connection | None] = []
        with self._opened():
            pass

    def get(self, shop_id: str, keys: Sequence[str]) -> dict[str, CachedReply]:
        """The replies known under `keys`, by key."""
        found: dict[str, CachedReply] = {}
        with self._opened() as connection:
            for start in range(0, len(keys), _BATCH):
                batch = list(keys[start : start + _BATCH])
                rows = connection.execute(
                    "SELECT key, text, model_version, input_tokens, output_tokens FROM replies "
                    f"WHERE shop_id = ? AND key IN ({','.join('?' * len(batch))})",
                    [shop_id, *batch],
                )
                found.update({row[0]: CachedReply(*row[1:]) for row in rows})
        return found

    def put(self, rows: Sequence[tuple[str, str, CachedReply]]) -> None:
        """Stores (shop_id, key, reply) rows, all or none; what is known already stays as it is."""
        with self._opened() as connection, connection:
            connection.executemany(
                "INSERT INTO replies VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (shop_id, key) DO NOTHING",
                [
                    (shop_id, key, reply.text, reply.model_version, reply.input_tokens, reply.output_tokens)
                    for shop_id, key, reply in rows
                ],
            )

    def close(self) -> None:
        """Closes the file; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one thread at a time, with SQLite's errors told in our words."""
        with self._lock:
            try:
                if self._process != os.getpid():
                    # A connection must not be used after a fork, nor closed: the parent goes on with it.
                    self._inherited.append(self._connection)
                    self._connection, self._process = None, os.getpid()
                if self._connection is None:
                    self._connection = self._connect()
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                raise TeacherError(
                    f"The teacher's reply cache {self.path} cannot be used ({error}): free space and make its folder "
                    "writable; if the file is damaged, delete it (replies will be asked for again); "
                    "or set another cache path, or none"
                ) from error

    def _connect(self) -> sqlite3.Connection:
        if self.path != ":memory:":
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            connection = sqlite3.connect(self.path, timeout=_WAIT_SECONDS, check_same_thread=False)
            try:
                self._prepare(connection)
                return connection
            except BaseException as error:
                connection.close()
                # Another process is making the same new file a WAL one just now; SQLite does not wait for that.
                busy = isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF in _BUSY
                if not busy or time.monotonic() >= deadline:
                    raise
            time.sleep(0.02)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Creates the table in a new file; refuses a file that holds anything else."""
        connection.isolation_level = None
        connection.execute("BEGIN IMMEDIATE")  # two processes may create the file at once
        application, schema = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and (application, schema) != (_APPLICATION_ID, _SCHEMA):
            raise sqlite3.DatabaseError("it is a database of another kind or version")
        if not tables:
            connection.execute(
                "CREATE TABLE replies (shop_id TEXT, key TEXT, text TEXT NOT NULL, model_version TEXT NOT NULL, "
                "input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, "
                "PRIMARY KEY (shop_id, key)) WITHOUT ROWID"
            )
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_SCHEMA}")
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
        # A reply lost to a power cut is asked for again; the file itself stays sound.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.isolation_level = "DEFERRED"
