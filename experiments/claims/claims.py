"""What is claimed, and where: `claims.toml` read and checked.

| key of `[commands.NAME]` | is |
|---|---|
| `command` | what follows `ecc-fed` |
| `minutes` | about so long on two cores |
| `cheap` | whether `make claims` runs it |

| key of `[[claims]]` | is |
|---|---|
| `of` | the command's name |
| `arm`, `variant`, `phase`, `measure` | a row of its `arms.csv`, over all seeds |
| `mean`, `low`, `high` | what is claimed, in the measure's own unit |
| `where` | the file that says so |
| `line` | a part of that file's line, to find it by |
| `text` | the figure as that line has it |
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Command:
    """A command of `ecc-fed` that leaves an `arms.csv`."""

    command: str
    minutes: float
    cheap: bool = False


@dataclass(frozen=True)
class Claim:
    """One figure that a file states."""

    of: str
    arm: str
    measure: str
    mean: float
    low: float
    high: float
    where: str
    line: str
    text: str
    variant: str = ""
    phase: str = "final"

    @property
    def key(self) -> Key:
        """Its row of `arms.csv`."""
        return self.arm, self.variant, self.phase, self.measure


@dataclass(frozen=True)
class Finding:
    """What came of a claim: `found` is the mean of the rerun, `faults` what is wrong."""

    claim: Claim
    found: float | None
    faults: tuple[str, ...]


def read_claims(path: Path) -> tuple[dict[str, Command], list[Claim]]:
    """Commands by name, and the claims on them.

    Raises:
        ValueError: a key that is not known or missing, or a claim on a command that is not there.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    try:
        commands = {name: Command(**keys) for name, keys in content["commands"].items()}
        claims = [Claim(**keys) for keys in content["claims"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error
    unknown = {claim.of for claim in claims} - commands.keys()
    if unknown:
        raise ValueError(f"{path}: no command is called {', '.join(sorted(unknown))}")
    return commands, claims


def read_figures(path: Path) -> dict[Key, float]:
    """The means of an `arms.csv`, over all seeds."""
    with path.open(encoding="utf-8", newline="") as file:
        return {
            (row["arm"], row["variant"], row["phase"], row["measure"]): float(row["mean"])
            for row in csv.DictReader(file)
            if row["seed"] == "all" and row["mean"]
        }


def said(claim: Claim, text: str) -> bool:
    """Whether a line of `text` holds the claim's figure."""
    return any(claim.line in line and claim.text in line for line in text.splitlines())


def check(claim: Claim, text: str, figures: Mapping[Key, float] | None) -> Finding:
    """Holds a claim against its file and, where it was run, against the rerun.

    Args:
        claim: the claim.
        text: what its file says.
        figures: the means of the rerun; None where the command was not run.
    """
    faults = []
    if not said(claim, text):
        faults.append(f"{claim.where} does not say {claim.text!r} in a line with {claim.line!r}")
    found = None if figures is None else figures.get(claim.key)
    if figures is not None and found is None:
        faults.append("the rerun has no such figure")
    if found is not None and not claim.low <= found <= claim.high:
        faults.append(f"{found:.4g} lies outside [{claim.low:.4g}, {claim.high:.4g}]")
    return Finding(claim, found, tuple(faults))
