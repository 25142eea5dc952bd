"""What a device remembers of its session, in the shop's own folder: it never leaves it.

On disk, as a device that starts again must neither answer otherwise than before nor forget what it has revealed: from
two different answers a server could tell what a mask hides. The next session takes its place; once a session has
ended, its secrets are gone from the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ecc_fed.core.rows import read_record, write_record

FILE_NAME = "secure_aggregation.json"


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session; bytes are in hexadecimal, places are texts.

    Attributes:
        session: its name.
        server_round: whose update it hides.
        root: of all its secrets; empty once it has ended.
        place: the device's own; -1 before the stage shares.
        threshold: how many shares give a secret back.
        keys: public, by place.
        inbox: ciphertexts by place; None before the stage train.
        sent_sha256: of the masked numbers.
        survivors, dropped: as the server said in the stage unmask.
        revealed: the shares that were given out in it, by place; None before.
    """

    session: str
    server_round: int
    root: str
    place: int = -1
    threshold: int = 0
    keys: Mapping[str, str] = field(default_factory=dict)
    inbox: Mapping[str, str] | None = None
    sent_sha256: str = ""
    survivors: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()
    revealed: Mapping[str, str] | None = None


def load_session(folder: Path) -> SessionRecord | None:
    """The shop's last session; None where it has had none.

    Raises:
        RunDirectoryError: the file cannot be read.
    """
    path = folder / FILE_NAME
    return read_record(path, SessionRecord) if path.exists() else None


def save_session(folder: Path, record: SessionRecord) -> None:
    """Keeps it, whole or not at all.

    Raises:
        RunDirectoryError: the file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_record(folder / FILE_NAME, record)
