"""Where a run keeps what it finds, and how its files are written: whole or not at all.

A file is written beside its place, synced and renamed over it, so a run that is killed, or a disk that fills up,
leaves the former file or the new one, never a piece. JSON is strict: a value that is not a finite number is refused.
"""

import errno
import json
import math
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ecc_fed.core.errors import RunDirectoryError, WriteError

_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space, or put runs elsewhere with hydra.run.dir=PATH",
    errno.EDQUOT: "your disk quota is used up: free some space, or put runs elsewhere with hydra.run.dir=PATH",
    errno.EACCES: "permission denied: make the folder writable, or put runs elsewhere with hydra.run.dir=PATH",
    errno.EPERM: "permission denied: make the folder writable, or put runs elsewhere with hydra.run.dir=PATH",
    errno.EROFS: "the file system is read-only: put runs elsewhere with hydra.run.dir=PATH",
    errno.ENOTDIR: "a file stands where a folder is needed: move it, or put runs elsewhere with hydra.run.dir=PATH",
    errno.EEXIST: "a file stands where a folder is needed: move it, or put runs elsewhere with hydra.run.dir=PATH",
    errno.EISDIR: "a folder stands where a file is needed: move it, or put runs elsewhere with hydra.run.dir=PATH",
    errno.ENAMETOOLONG: "the name is too long for this file system: shorten hydra.run.dir or the shop's id",
}


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The paths of one run. Naming a path creates nothing."""

    root: Path

    @property
    def run(self) -> Path:
        """What was run, for how long, and what failed; written last, so it marks a finished run."""
        return self.root / "run.json"

    @property
    def samples(self) -> Path:
        """A row for every test query and phase."""
        return self.root / "samples.jsonl"

    @property
    def metrics(self) -> Path:
        """A row for every server round, shop and split."""
        return self.root / "metrics.jsonl"

    @property
    def updates(self) -> Path:
        """A row for every shop and server round: what the server made of its reply."""
        return self.root / "updates.jsonl"

    @property
    def agreed(self) -> Path:
        """A row for every public query and server round, where shops teach each other by replies to them."""
        return self.root / "agreed.jsonl"

    @property
    def egress(self) -> Path:
        """The ledger: every byte that left a shop."""
        return self.root / "egress.jsonl"

    @property
    def teacher_texts(self) -> Path:
        """What left for the teacher, word for word, where `privacy.keep_text` was set."""
        return self.root / "teacher_texts.jsonl"

    @property
    def summary(self) -> Path:
        """The contract for reports and other tools."""
        return self.root / "summary.json"

    @property
    def report(self) -> Path:
        """One page that opens offline."""
        return self.root / "report.html"

    @property
    def tracker(self) -> Path:
        """What the run's tracker keeps, if it has one."""
        return self.root / "tracker"

    @property
    def config(self) -> Path:
        """The resolved config."""
        return self.root / ".hydra" / "config.yaml"

    @property
    def claim(self) -> Path:
        """Whose the folder is; written first."""
        return self.root / "claim.json"

    @property
    def probes(self) -> Path:
        """What left for the teacher before any shop's calls did: a row for every start of the run."""
        return self.root / "probes.jsonl"

    @property
    def server(self) -> Path:
        """What the server keeps: its state after the last round, and the last aggregate."""
        return self.root / "server"

    @property
    def cross(self) -> Path:
        """Every shop's adapter on every shop's queries, where that was asked for."""
        return self.root / "cross"

    @property
    def attacks(self) -> Path:
        """What attacks on the adapters got, where any were made."""
        return self.root / "attacks"

    @property
    def shops(self) -> Path:
        """The shops' states."""
        return self.root / "shops"

    @property
    def aggregate(self) -> Path:
        """The server's last aggregate, in an aggregated arm."""
        return self.server / "adapter"

    def shop(self, shop_id: str) -> Path:
        """One shop's folder: its id, with what no file name may hold percent-encoded."""
        name = re.sub(r"[^\w.-]", lambda match: quote(match[0], safe="", errors="surrogatepass"), shop_id)
        # "", "." and ".." would name another folder, and a leading dot would hide this one.
        if name.startswith(".") or not name:
            name = f"%2E{name[1:]}" if name else "%"
        return self.shops / name


def _refuse(path: Path, error: OSError) -> WriteError:
    reason = _REMEDIES.get(error.errno or 0, error.strerror or str(error))
    return WriteError(f"cannot write {path}: {reason}")


def _sync_folder(folder: Path) -> None:
    """Makes a rename durable. Some file systems cannot sync a folder, and none needs it to be atomic."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes `path`'s place when the block ends without error.

    For writers that want a file name (safetensors, torch). Parent folders are made. A block that
    raises leaves `path` as it was and nothing beside it.

    Raises:
        RunDirectoryError: the disk is full, or the folder cannot be written.
    """
    aside = path.with_name(f".{path.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        aside.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _refuse(path, error) from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `content` whole or not at all.

    Raises:
        RunDirectoryError: as `replacing`.
    """
    with replacing(path) as aside:
        aside.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Writes `text` in UTF-8, whole or not at all. A lone surrogate, which UTF-8 cannot hold, becomes "?"."""
    write_bytes(path, text.encode("utf-8", "replace"))


def _not_finite(value: Any, where: str) -> str | None:
    """Where in `value` a number is not finite, or None."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{where or 'the value'} is {value}"
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    return next((found for key, item in items if (found := _not_finite(item, f"{where}.{key}".lstrip(".")))), None)


def encode_json(value: Any, path: Path, indent: int | None = None) -> bytes:
    """Strict UTF-8 JSON with sorted keys; `path` names the file in errors.

    Raises:
        RunDirectoryError: a number is not finite.
    """
    found = _not_finite(value, "")
    if found is not None:
        raise RunDirectoryError(
            f"cannot write {path}: {found}, which JSON cannot hold. Training that diverges gives such numbers: "
            "lower finetune.learning_rate"
        )
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, indent=indent, allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate in a dialogue: only an escape can carry it
        return json.dumps(value, sort_keys=True, indent=indent, allow_nan=False).encode()


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON with sorted keys, whole or not at all.

    Raises:
        RunDirectoryError: as `replacing`; or a number is not finite.
    """
    write_bytes(path, encode_json(value, path, indent=2) + b"\n")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes a JSON object a line, the whole file or nothing.

    Raises:
        RunDirectoryError: as `write_json`.
    """
    with replacing(path) as aside, aside.open("wb") as file:
        for row in rows:
            file.write(encode_json(row, path) + b"\n")


def append_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Appends rows and syncs; if that fails, the file is cut back to what it was.

    Raises:
        RunDirectoryError: as `write_json`; or the file's last line is torn.
    """
    content = b"".join(encode_json(row, path) + b"\n" for row in rows)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            if size and (file.seek(size - 1) is not None) and file.read(1) != b"\n":
                raise RunDirectoryError(
                    f"{path}: the last line is torn, as a killed run leaves it; read it with torn_tail=True and "
                    "write it again before appending"
                )
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):
                    os.ftruncate(file.fileno(), size)
                raise
    except OSError as error:
        raise _refuse(path, error) from error


def cut_torn_tail(path: Path) -> None:
    """Cuts off a last line that a killed process left torn, so that more can be appended.

    Raises:
        RunDirectoryError: another line is broken, or the file cannot be written.
    """
    if path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n"):
        write_jsonl(path, read_jsonl(path, torn_tail=True))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise RunDirectoryError(f"{path} is missing: is its folder a run that finished?") from error
    except OSError as error:
        raise RunDirectoryError(f"cannot read {path}: {error.strerror or error}") from error


def read_text(path: Path) -> str:
    """The file's text; bytes that are not UTF-8 become replacement marks.

    Raises:
        RunDirectoryError: the file is missing or unreadable.
    """
    return _read(path).decode("utf-8", "replace")


def read_json(path: Path) -> dict[str, Any]:
    """The file's JSON object.

    Raises:
        RunDirectoryError: the file is missing, unreadable, or no JSON object; names file and line.
    """
    try:
        value = json.loads(_read(path))
    except json.JSONDecodeError as error:
        raise RunDirectoryError(f"{path}, line {error.lineno}: not JSON ({error.msg}); run it again") from error
    except UnicodeDecodeError as error:
        raise RunDirectoryError(f"{path}: not UTF-8 text; run it again") from error
    if not isinstance(value, dict):
        raise RunDirectoryError(f"{path}: a JSON object is needed, this is {type(value).__name__}; run it again")
    return value


def read_jsonl(path: Path, *, torn_tail: bool = False) -> list[dict[str, Any]]:
    """The file's JSON objects, one a line; blank lines are skipped.

    Args:
        path: the file.
        torn_tail: leave out a last line that lacks its line end and is no JSON, as a writer that
            was killed (or is still writing) leaves it; otherwise that is an error like any other.

    Raises:
        RunDirectoryError: the file is missing or unreadable, or a line is no JSON object; names
            file and line.
    """
    # Split at \n alone: str.splitlines would also cut at U+2028, which may stand inside a dialogue.
    lines = _read(path).split(b"\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
            last = number == len(lines)
            if last and torn_tail:
                break
            cause = "cut off, as a killed run leaves it" if last else "not JSON"
            raise RunDirectoryError(f"{path}, line {number}: {cause} ({error}); repair or remove that line") from error
        if not isinstance(row, dict):
            raise RunDirectoryError(
                f"{path}, line {number}: a JSON object is needed, this is {type(row).__name__}; repair that line"
            )
        rows.append(row)
    return rows
