"""A data set of the `datasets` library: a folder on this machine, or an id of the hub, which needs the network.

A folder is what `save_to_disk` wrote, or one of files that `load_dataset` knows (Parquet, JSON lines, CSV). Its rows
are records (`records.py`). Files are streamed and `save_to_disk`'s are mapped, so memory does not grow with the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ecc_fed.core.errors import CorpusError
from ecc_fed.corpus.formats.columns import Columns
from ecc_fed.corpus.formats.reading import PROBE_LINES, ReadLog
from ecc_fed.corpus.formats.records import RecordCorpus
from ecc_fed.corpus.formats.tables import check_header

_SAVED = ("dataset_dict.json", "state.json")


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise CorpusError(
            "corpus=hf needs the `datasets` library, which is not installed: pip install 'ecc-fed[datasets]'. "
            "JSON lines and CSV are read without it, by corpus=jsonl and corpus=csv."
        ) from error
    return datasets


@dataclass(frozen=True, kw_only=True)
class HfCorpus(RecordCorpus):
    """Shops from a data set. Arguments: see `RecordCorpus`; `path` is a folder or an id such as OWNER/NAME.

    split: train, test, … as the data set names them
    name:  the configuration, where the data set has several
    """

    format: ClassVar[str] = "hf"
    expected: ClassVar[str] = "a data set of the `datasets` library whose rows are dialogues, or question and answer"
    order: ClassVar[str] = "Split in the data set's order, which is not known to be that of time."

    split: str = "train"
    name: str | None = None

    @classmethod
    def check_path(cls, path: str) -> None:
        """Refuses a file, and anything where the library is not installed.

        Raises:
            CorpusError: says what to give instead.
        """
        _library()
        if Path(path).expanduser().is_file():
            raise CorpusError(
                f"corpus.path={path} is a file; corpus=hf reads folders. Set {Path(path).expanduser().parent}, or read "
                "it with corpus=jsonl or corpus=csv."
            )

    def records(self, log: ReadLog, columns: Columns) -> Iterator[tuple[int, Any]]:
        """See `RecordCorpus`."""
        rows = self._rows(log)
        while True:
            try:
                row = next(rows, None)
            except Exception as error:  # whatever the library happens upon in a file
                raise self._failed(error) from error
            if row is None:
                break
            log.lines += 1
            if log.lines == 1:
                log.sample = ",".join(row)
                check_header(list(row), log, columns)
            yield log.lines, row
            if log.lines == PROBE_LINES:
                log.refuse_foreign()
        log.notes["rows of a data set, counted as lines"] += log.lines
        log.refuse_foreign()

    def _rows(self, log: ReadLog) -> Iterator[dict[str, Any]]:
        datasets, folder = _library(), log.path
        self.check_path(self.path)
        try:
            if any((folder / name).is_file() for name in _SAVED):
                found = datasets.load_from_disk(str(folder))
                if isinstance(found, datasets.DatasetDict):
                    if self.split not in found:
                        raise CorpusError(
                            f"data set {folder} has no split {self.split!r}; it has {', '.join(found)}. Set "
                            "corpus.split to one of them."
                        )
                    found = found[self.split]
            else:
                source = str(folder) if folder.is_dir() else self.path
                found = datasets.load_dataset(source, self.name, split=self.split, streaming=True)
        except CorpusError:
            raise
        except Exception as error:  # what a folder or the hub may come up with has no common class
            raise self._failed(error) from error
        return iter(found)

    def _failed(self, error: Exception) -> CorpusError:
        said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        kind = "a folder" if Path(self.path).expanduser().is_dir() else "an id of the hub (there is no such folder)"
        return CorpusError(
            f"data set {self.path}, {kind}, cannot be read with corpus.split={self.split}: {said[:300]}. Check the "
            "path, corpus.split and corpus.name; a data set of the hub needs the network."
        )
