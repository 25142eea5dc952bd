"""A run's folder: new, or opened again by the run that it belongs to."""

from pathlib import Path

import pytest

from ecc_fed.core.errors import ConfigError, UserError
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.runs.run_folder import new_run, resumed_run

CONFIG = "seed: 1\narm:\n  name: local\n"


def stopped(root: Path) -> tuple[RunDirectory, str]:
    directory = RunDirectory(root)
    with new_run(directory, CONFIG, "hydra.run.dir=FOLDER") as run_id:
        directory.shops.mkdir()
    return directory, run_id


@pytest.mark.parametrize("config", [None, CONFIG, "arm: {name: local}\nseed: 1"])
def test_a_run_goes_on_under_its_own_id_without_what_was_left_half_written(tmp_path: Path, config: str | None) -> None:
    directory, run_id = stopped(tmp_path)
    (directory.shops / ".round_0001.partial").mkdir()
    with resumed_run(directory, config) as again:
        assert again == run_id
    assert list(directory.shops.iterdir()) == []
    assert directory.config.read_text() == (CONFIG if config is None else config)


def test_another_config_is_refused_with_what_differs(tmp_path: Path) -> None:
    directory, _ = stopped(tmp_path)
    said = r"another config: seed was 1 and is 2\. Give its overrides, or none"
    with pytest.raises(ConfigError, match=said), resumed_run(directory, CONFIG.replace("1", "2")):
        pytest.fail("refused")
    directory.config.write_text("seed: 3")
    with pytest.raises(ConfigError, match="was changed after the run had started"), resumed_run(directory, None):
        pytest.fail("refused")
    directory.config.unlink()
    with pytest.raises(ConfigError, match="holds no config"), resumed_run(directory, None):
        pytest.fail("refused")
    with resumed_run(directory, CONFIG):
        assert directory.config.read_text() == CONFIG


def test_where_no_run_is_the_runs_below_are_named(tmp_path: Path) -> None:
    directory, _ = stopped(tmp_path / "sweep" / "0")
    with pytest.raises(UserError, match=rf"no run that could go on\. Runs below it: {directory.root}"):
        resumed_run(RunDirectory(tmp_path / "sweep"), None).__enter__()
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UserError, match="older version"):
        resumed_run(RunDirectory(tmp_path), None).__enter__()
