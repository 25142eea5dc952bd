"""Runs from Python: `ecc_fed.run` makes one, `ecc_fed.open` opens a finished one, and a `Result` gives its rows."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.finished import finished_directory
from ecc_fed.core.records import EgressEntry
from ecc_fed.core.rows import MetricRow, SampleRow, UpdateRow, encode, lifts, read_rows, read_run_info
from ecc_fed.core.run_directory import RunDirectory, read_json

if TYPE_CHECKING:
    from pandas import DataFrame

_RUN_DIR = "hydra.run.dir"


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run. Every property reads its file anew; a frame has a row a line, and the columns of its dataclass.

    Attributes:
        directory: the run's folder, absolute.
    """

    directory: Path

    @property
    def summary(self) -> dict[str, Any]:
        """`summary.json`.

        Raises:
            RunDirectoryError: it is missing or broken.
        """
        return read_json(self._files.summary)

    @property
    def samples(self) -> DataFrame:
        """`core.rows.SampleRow`: a reply to a test query, scored, before or after evolution, or another's.

        Raises:
            ConfigError: pandas is not installed.
            RunDirectoryError: the file is broken.
        """
        return self._frame(self._files.samples, SampleRow)

    @property
    def metrics(self) -> DataFrame:
        """`core.rows.MetricRow`: one cycle of one shop in one server round; raises as `samples`."""
        return self._frame(self._files.metrics, MetricRow)

    @property
    def updates(self) -> DataFrame:
        """`core.rows.UpdateRow`: one shop's reply that counted in a server round; raises as `samples`."""
        return self._frame(self._files.updates, UpdateRow)

    @property
    def egress(self) -> DataFrame:
        """`core.records.EgressEntry`: what left a shop, to whom, how many bytes; raises as `samples`."""
        return self._frame(self._files.egress, EgressEntry)

    @property
    def report(self) -> Path:
        """The page, which opens offline."""
        return self._files.report

    @property
    def _files(self) -> RunDirectory:
        return RunDirectory(self.directory)

    def _frame(self, path: Path, kind: type[Any]) -> DataFrame:
        if importlib.util.find_spec("pandas") is None:
            raise ConfigError(
                'Frames need the package pandas, which is not installed: pip install "ecc_fed[pandas]". Without it, '
                f"read {path}, a JSON object a line."
            )
        import pandas

        schema = read_run_info(self._files.run).schema
        rows = read_rows(path, kind, lift=lifts(schema).get(kind)) if path.is_file() else []
        return pandas.DataFrame([encode(row) for row in rows], columns=[field.name for field in fields(kind)])


def open(path: str | os.PathLike[str]) -> Result:
    """The finished run in the folder `path`.

    Raises:
        UserError: no finished run lies there; names those that lie below.
        RunDirectoryError: another version wrote it, which this one cannot read.
    """
    directory = finished_directory(Path(path).expanduser())
    read_run_info(directory.run)
    return Result(directory.root)


def run(
    overrides: Sequence[str] = (),
    out: str | os.PathLike[str] | None = None,
    config_dirs: Sequence[str | os.PathLike[str]] = (),
    allowed: Sequence[str] = (),
) -> Result:
    """Makes one run, as `ecc-fed run OVERRIDES` does; progress goes to standard error, the report to its page alone.

    A run that was stopped is gone on with by `ecc-fed run --resume FOLDER`.

    Args:
        overrides: such as "arm=local" or "corpus.num_shops=2".
        out: its folder, which must be free; None: a fresh one below `runs`.
        config_dirs: folders of YAML of one's own.
        allowed: packages whose classes the config may name.

    Raises:
        UserError: a setting that is wrong, or a folder that is taken; nothing is written.
        EccError: a run that cannot go on.
    """
    from ecc_fed.assembly.overrides import literal
    from ecc_fed.cli.main import quiet_libraries
    from ecc_fed.cli.run import make_runs

    for name, value in {"overrides": overrides, "config_dirs": config_dirs, "allowed": allowed}.items():
        if isinstance(value, str):
            raise ConfigError(f"{name}={value!r} is one text: give a list, such as [{value!r}].")
    given = _settings(overrides, has_folder=out is not None)
    folders = [_folder(each) for each in config_dirs]
    if out is not None:
        given.append(f"{_RUN_DIR}={literal(str(Path(out).expanduser().absolute()))}")
    quiet_libraries()
    with _logging_as_it_was():
        (made,) = make_runs(given, allowed, folders, elsewhere="another out=FOLDER")
    result = Result(made.directory.root.absolute())
    if made.code:
        reasons = [each["reason"] for each in result.summary["failures"] if each["kind"] == "teacher_gone"]
        warnings.warn(f"{result.directory}: the cloud was gone at the end ({'; '.join(reasons)})", stacklevel=2)
    return result


def _settings(overrides: Sequence[str], has_folder: bool) -> list[str]:
    for override in overrides:
        if override.startswith("-"):
            raise ConfigError(f"{override} is a flag of the command line: overrides are settings, such as arm=local.")
        if has_folder and override.lstrip("+").startswith(f"{_RUN_DIR}="):
            raise ConfigError(f"The folder is given twice, by out and by {override}: leave one of them out.")
    return list(overrides)


def _folder(path: str | os.PathLike[str]) -> str:
    folder = Path(path).expanduser().resolve()
    if not folder.is_dir():
        raise ConfigError(f"config_dirs: there is no folder {folder}.")
    return str(folder)


@contextmanager
def _logging_as_it_was() -> Iterator[None]:
    """Takes away what Hydra adds to the root logger, such as the log file of the run that has ended."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        for handler in [each for each in root.handlers if each not in handlers]:
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
