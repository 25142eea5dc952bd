"""Runs from Python: the same folder as the command's, rows as frames, and an import that costs nothing."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ecc_fed
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.cli import run
from ecc_fed.cli.main import main
from ecc_fed.core.errors import ConfigError, EccError, RunDirectoryError, UserError
from ecc_fed.core.records import EgressEntry
from ecc_fed.core.rows import MetricRow, SampleRow, UpdateRow, encode, read_rows
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.hosts.in_process import InProcessHosts
from tests.cli.test_cross import SETTINGS


@contextmanager
def in_process(config: RunConfig, at_least: int = 1) -> Iterator[InProcessHosts]:
    yield InProcessHosts()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, RunDirectory]:
    """A run from Python, and the same from the command line."""
    root = tmp_path_factory.mktemp("api")
    settings = ["arm=aggregated", *SETTINGS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "open_hosts", in_process)
        arguments, handlers = list(sys.argv), list(logging.getLogger().handlers)
        result = ecc_fed.run(settings, out=root / "it's mine")
        assert (sys.argv, logging.getLogger().handlers) == (arguments, handlers)
        assert main(["run", *settings, f"hydra.run.dir={root}/theirs"]) == 0
    return result, RunDirectory(root / "theirs")


def test_a_run_from_python_leaves_what_the_command_leaves(made: tuple[Any, RunDirectory]) -> None:
    result, theirs = made
    files = [
        sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
        for root in (result.directory, theirs.root)
    ]
    assert files[0] == files[1] and "report.html" in files[0] and "claim.json" in files[0]
    for name in ("samples.jsonl", "updates.jsonl", ".hydra/config.yaml"):
        assert (result.directory / name).read_bytes() == (theirs.root / name).read_bytes()


def test_a_result_gives_summary_page_and_rows(made: tuple[Any, RunDirectory]) -> None:
    pytest.importorskip("pandas", reason="the extra pandas is not installed")
    result, _ = made
    files = RunDirectory(result.directory)
    assert result.summary == json.loads(files.summary.read_text())
    assert result.report == files.report and result.report.is_file()
    for frame, path, kind in (
        (result.samples, files.samples, SampleRow),
        (result.metrics, files.metrics, MetricRow),
        (result.updates, files.updates, UpdateRow),
        (result.egress, files.egress, EgressEntry),
    ):
        rows = read_rows(path, kind)
        assert len(frame) == len(rows) > 0 and list(frame.columns) == list(encode(rows[0]))
    final = result.samples.query("phase == 'final' and not extra")
    told = result.summary["evaluation"]["final"]["chrf"]["per_shop"]
    assert final.groupby("shop_id")["chrf"].mean().to_dict() == pytest.approx(told, rel=1e-5)
    files.updates.unlink()
    assert result.updates.empty and "update_norm" in result.updates.columns


def test_a_finished_run_is_opened_and_nothing_else(made: tuple[Any, RunDirectory], tmp_path: Path) -> None:
    result, theirs = made
    assert ecc_fed.open(str(theirs.root)) == ecc_fed.Result(theirs.root)
    with pytest.raises(UserError, match="holds no finished run") as raised:
        ecc_fed.open(theirs.root.parent)
    assert f"Finished runs below it: {result.directory}, {theirs.root}." in str(raised.value)
    with pytest.raises(UserError, match="Give the folder of a run"):
        ecc_fed.open(tmp_path / "nowhere")
    (tmp_path / "run.json").write_text('{"schema": 99}')
    with pytest.raises(RunDirectoryError, match="schema 99, and this version reads"):
        ecc_fed.open(tmp_path)


def test_a_taken_folder_and_a_wrong_setting_are_errors_and_write_nothing(
    made: tuple[Any, RunDirectory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result, _ = made
    with pytest.raises(UserError, match=r"holds a finished run.*for a new one choose another folder with another out"):
        ecc_fed.run(SETTINGS, out=result.directory)
    with pytest.raises(ConfigError, match=r"Did you mean finetune\.steps"):
        ecc_fed.run(["finetune.step=3"])
    with pytest.raises(ConfigError, match="The folder is given twice"):
        ecc_fed.run(["hydra.run.dir=a"], out="b")
    with pytest.raises(ConfigError, match="-m is a flag of the command line"):
        ecc_fed.run(["-m", "seed=0,1"])
    with pytest.raises(ConfigError, match="overrides='arm=local' is one text"):
        ecc_fed.run("arm=local")
    with pytest.raises(ConfigError, match="config_dirs: there is no folder"):
        ecc_fed.run(["arm=local"], config_dirs=["nowhere"])
    assert not list(tmp_path.iterdir())


def test_without_a_folder_each_run_gets_a_fresh_one_and_its_own_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, RunDirectory]] = []

    def simulate(config: RunConfig, directory: RunDirectory, *rest: object) -> None:
        seen.append((str(config.decoding.max_new_tokens), directory))
        raise ZeroDivisionError if len(seen) == 3 else EccError("the power is gone")

    own = tmp_path / "it's, mine" / "decoding"
    own.mkdir(parents=True)
    (own / "short.yaml").write_text("max_new_tokens: 7\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "open_hosts", in_process)
    monkeypatch.setattr(run, "simulate", simulate)
    for error in (EccError, EccError, ZeroDivisionError):
        with pytest.raises(error):
            ecc_fed.run(["decoding=short"], config_dirs=[own.parent])
    assert {tokens for tokens, _ in seen} == {"7"}
    folders = {directory.root for _, directory in seen}
    assert len(folders) == 3 and all(folder.is_relative_to(tmp_path / "runs") for folder in folders)


def test_a_run_whose_teacher_was_gone_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make_runs(given: list[str], *rest: object, **more: object) -> list[run.Made]:
        failures = [{"kind": "teacher_gone", "reason": "no reply since round 2"}]
        (tmp_path / "summary.json").write_text(json.dumps({"failures": failures}))
        return [run.Made(RunDirectory(tmp_path), 1)]

    monkeypatch.setattr(run, "make_runs", make_runs)
    with pytest.warns(UserWarning, match="no reply since round 2"):
        ecc_fed.run()


def test_frames_without_pandas_name_the_package(
    made: tuple[Any, RunDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match=r'pip install "ecc_fed\[pandas\]".*samples\.jsonl'):
        _ = ecc_fed.open(made[1].root).samples


def test_importing_the_package_imports_none_of_its_libraries() -> None:
    code = (
        "import sys, ecc_fed; heavy = {'torch', 'ray', 'hydra', 'pandas', 'numpy', 'flwr', 'transformers'};"
        "print(sorted(heavy & set(sys.modules)), sorted(name for name in sys.modules if name.startswith('ecc_fed')));"
        "print({'run', 'open', 'Result'} <= set(dir(ecc_fed)), ecc_fed.open.__module__);"
        "print(sorted({'torch', 'ray', 'hydra', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[] ['ecc_fed']", "True ecc_fed.api", "[]"]
    with pytest.raises(AttributeError, match="has no attribute 'rnu'"):
        _ = ecc_fed.rnu  # type: ignore[attr-defined]
