"""What left for the teacher, word for word: kept where `privacy.keep_text` asks for it, and nowhere else.

    shops/<shop_id>/teacher_texts.jsonl

A line for every different part of a prompt, written before it leaves; the ledger's entries name it by its digest. The
examples go with every call of a shop, and so stand there once. As with the journal nothing is synced: a killed process
loses nothing that it handed to the system, and a last line that it left torn is cut.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from ecc_fed.core.records import TeacherText
from ecc_fed.core.rows import append_unsynced, read_rows
from ecc_fed.core.run_directory import cut_torn_tail

# Of a shop's folder, a chat's, a distillation set's, and of the whole run's.
TEACHER_TEXTS = "teacher_texts.jsonl"


class KeptTexts:
    """The files that texts go to. Safe under threads.

    Args:
        folder_of: by shop, where its file lies; several shops may share one.
    """

    def __init__(self, folder_of: Callable[[str], Path]) -> None:
        self._folder_of = folder_of
        self._there: dict[Path, set[tuple[str, str]]] = {}
        self._lock = threading.Lock()

    def keep(self, texts: Sequence[TeacherText]) -> None:
        """Adds those that are not there yet.

        Raises:
            RunDirectoryError: a file is broken.
            WriteError: a file cannot be written.
        """
        with self._lock:
            for text in texts:
                path = self._folder_of(text.shop_id) / TEACHER_TEXTS
                if path not in self._there:
                    cut_torn_tail(path)
                    self._there[path] = {(row.shop_id, row.digest) for row in read_texts(path)}
                if (text.shop_id, text.digest) not in self._there[path]:
                    append_unsynced(path, [text])
                    self._there[path].add((text.shop_id, text.digest))


def read_texts(path: Path) -> list[TeacherText]:
    """The lines of such a file, if there is one, but for a last one that is torn.

    Raises:
        RunDirectoryError: the file is broken.
    """
    return read_rows(path, TeacherText, torn_tail=True) if path.exists() else []
