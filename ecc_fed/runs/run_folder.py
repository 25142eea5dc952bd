"""The folder of a run: claimed by a new one, or opened again by the one that it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ecc_fed.assembly.same_config import config_digest, differences
from ecc_fed.core.errors import ConfigError, UserError
from ecc_fed.core.run_claim import Claim, claimed, read_claim, wait_for_orphans, working
from ecc_fed.core.run_directory import RunDirectory, read_text, write_text
from ecc_fed.core.whole_folder import remove_leftovers

_SHOWN = 20


@contextmanager
def new_run(directory: RunDirectory, config: str, elsewhere: str, run_id: str | None = None) -> Iterator[str]:
    """Claims the folder for a new run with this `config` (YAML) and keeps the config there; gives the run's id.

    Raises:
        UserError: the folder is not empty; `elsewhere` says how another is chosen.
        RunDirectoryError: the folder cannot be written.
    """
    with claimed(directory, config_digest(config), elsewhere, run_id) as claim:
        write_text(directory.config, config)
        yield claim.run_id


@contextmanager
def resumed_run(directory: RunDirectory, config: str | None) -> Iterator[str]:
    """Opens the folder for the run that it belongs to; gives the run's id.

    What a killed process left half-written is removed, once none of its processes is at work any more.

    Args:
        directory: the run's.
        config: it must be what the run started with; None takes that.

    Raises:
        UserError: no run is there, its config is another, or it is under way.
        RunDirectoryError: the claim is damaged, or another version wrote it.
    """
    claim = read_claim(directory)
    if claim is None:
        raise UserError(_no_run(directory.root))
    check_same_config(directory, claim, config)
    with working(directory):
        wait_for_orphans(directory)
        remove_leftovers(directory.root)
        if config is not None:
            write_text(directory.config, config)
        yield claim.run_id


def check_same_config(directory: RunDirectory, claim: Claim, config: str | None) -> None:
    """Holds a run that goes on to the config that it started with.

    Raises:
        ConfigError: another; names what differs, with both values.
    """
    kept = read_text(directory.config) if directory.config.is_file() else None
    if config is None:
        if kept is None:
            raise ConfigError(f"{directory.root} holds no config: give the overrides of the run's start again.")
        if config_digest(kept) != claim.config_sha256:
            raise ConfigError(f"{directory.config} was changed after the run had started: put it back as it was.")
        return
    if config_digest(config) == claim.config_sha256:
        return
    told = "; ".join(differences(kept, config)) if kept is not None else "its own is lost"
    raise ConfigError(
        f"{directory.root} is the folder of a run with another config: {told}. Give its overrides, or none, to go on "
        "with it; or choose another folder for a new run."
    )


def _no_run(root: Path) -> str:
    below = sorted(path.parent for path in root.glob("**/claim.json"))[:_SHOWN] if root.is_dir() else []
    hint = f"Runs below it: {', '.join(map(str, below))}." if below else "Give the folder of a run."
    if (root / "run.json").is_file():
        hint = "It is a run of an older version, which cannot go on; start it again."
    return f"{root} holds no run that could go on. {hint}"
