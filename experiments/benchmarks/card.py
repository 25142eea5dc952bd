"""Everything that a card can tell, in one go: kernels, fine-tuning, replies, a whole run, what bf16 costs.

    python -m experiments.benchmarks.card --out FOLDER
    python -m experiments.benchmarks.card --dry-run

Each part is a benchmark of this folder in a process of its own, with what is left of `--seconds`; one that fails or
takes too long is told, and the others go on. Leaves every part's output and figures in FOLDER, and in `aims.md` what
was found beside what is aimed at on an H100 held to 24 GiB. The dry run goes through all of it on a CPU, with small
shapes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import operator
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SHOPS, REPLYING = (1, 16, 64), (1, 64, 192)


@dataclass(frozen=True, slots=True)
class Part:
    """One process: a module, and what it is given besides `--json`; None: it has no figures but its success."""

    name: str
    module: str
    full: Sequence[str]
    dry: Sequence[str] | None


PARTS = (
    Part("kernels", "tests.end_model.engines.shared.kernel_checks", ["cuda"], None),
    Part(
        "fine_tuning",
        "experiments.benchmarks.gpu",
        ["--repeats", "3", "--shops", *map(str, SHOPS)],
        ["--device", "cpu", "--dry-run", "--repeats", "1"],
    ),
    Part(
        "replies",
        "experiments.benchmarks.gpu_replies",
        ["--repeats", "3", "--shops", *map(str, REPLYING)],
        ["--device", "cpu", "--dry-run", "--repeats", "1"],
    ),
    Part("whole_run", "experiments.benchmarks.gpu_run", [], ["--dry-run"]),
    Part("bf16", "experiments.benchmarks.narrow_training", ["--device", "cuda"], ["--quick"]),
)


SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    "at least": operator.ge,
    "at most": operator.le,
    "below": operator.lt,
}


@dataclass(frozen=True, slots=True)
class Aim:
    """What a part's figures should be.

    Attributes:
        part: by its name.
        words: what is measured.
        read: the figure in what the part has written.
        sign: how the figure is to stand to the bound, a key of `SIGNS`.
    """

    part: str
    words: str
    read: Callable[[Any], float]
    sign: str
    bound: float

    def holds(self, value: float) -> bool:
        """Whether the figure is as it should be."""
        return SIGNS[self.sign](value, self.bound)


def _row(figures: Any, shops: int, **wanted: Any) -> Mapping[str, Any]:
    return next(
        row
        for row in figures["rows"]
        if row["shops"] == shops and all(row.get(name) == value for name, value in wanted.items())
    )


def _tuned(shops: int, figure: str) -> Callable[[Any], float]:
    return lambda figures: float(_row(figures, shops)[figure])


def _replies(shops: int, figure: str = "tokens_per_second") -> Callable[[Any], float]:
    return lambda figures: float(_row(figures, shops, chosen=True)[figure])


def _most_memory(figures: Any) -> float:
    return max(float(row["peak_gib"]) for row in figures["rows"] if "peak_gib" in row)


_AT_LEAST, _AT_MOST, _BELOW = SIGNS
AIMS = (
    Aim("fine_tuning", "client-steps a second, 64 shops", _tuned(64, "client_steps_per_second"), _AT_LEAST, 165),
    Aim("fine_tuning", "share of the product peak, 64 shops", _tuned(64, "fraction_of_peak"), _AT_LEAST, 0.40),
    Aim("fine_tuning", "share of the product peak, 16 shops", _tuned(16, "fraction_of_peak"), _AT_LEAST, 0.30),
    Aim("fine_tuning", "times a plain peft loop, 64 shops", _tuned(64, "ratio_to_peft_loop"), _AT_LEAST, 25),
    Aim("fine_tuning", "times a plain peft loop, 1 shop", _tuned(1, "ratio_to_peft_loop"), _AT_LEAST, 1.5),
    Aim("fine_tuning", "GiB at most", _most_memory, _BELOW, 24),
    Aim("replies", "tokens a second, 1 shop", _replies(1), _AT_LEAST, 120),
    Aim("replies", "tokens a second, 64 shops", _replies(64), _AT_LEAST, 6000),
    Aim("replies", "tokens a second, 192 shops", _replies(192), _AT_LEAST, 14000),
    Aim("replies", "replies of 64 as the eager path's", _replies(64, "equal_to_the_first"), _AT_LEAST, 64),
    Aim("replies", "GiB at most", _most_memory, _BELOW, 24),
    Aim("whole_run", "GiB at most", lambda figures: float(figures["peak_gpu_gib"]), _BELOW, 24),
    Aim(
        "bf16",
        "of the update off peft in fp32, 20 steps of AdamW",
        lambda figures: float(figures["of_update"]["the GPU's way in bf16"]["AdamW, epsilon 1e-8"]),
        _AT_MOST,
        0.02,
    ),
    Aim(
        "bf16",
        "nats that single steps' losses are off at most",
        lambda figures: max(figures["losses_off"].values()),
        _AT_MOST,
        0.1,
    ),
)


def run_part(part: Part, dry_run: bool, folder: Path, seconds: float) -> tuple[bool, str]:
    """Runs it; its output goes to `NAME.txt`, its figures to `NAME.json`. Returns whether all is well, in words too."""
    given = part.dry if dry_run else part.full
    if given is None:
        return True, "needs a card"
    if seconds <= 0:
        return False, "no time was left"
    figures = [] if part.dry is None else ["--json", str(folder / f"{part.name}.json")]
    start = time.monotonic()
    with (folder / f"{part.name}.txt").open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", part.module, *given, *figures],
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return False, f"stopped after {seconds:.0f} s: see {part.name}.txt"
        finally:
            # What it has started goes with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    taken = f"{time.monotonic() - start:.0f} s"
    return (True, taken) if code == 0 else (False, f"failed with {code} after {taken}: see {part.name}.txt")


def aims_table(folder: Path) -> list[str]:
    """Lines of Markdown: what was found, what is aimed at, whether it holds."""
    lines = ["| | found | aim | holds |", "|---|---|---|---|"]
    for aim in AIMS:
        file = folder / f"{aim.part}.json"
        try:
            value = aim.read(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, StopIteration, KeyError):
            found, verdict = "-", "not measured"
        else:
            found, verdict = f"{value:.3g}", "yes" if aim.holds(value) else "**no**"
        lines.append(f"| {aim.part.replace('_', ' ')}: {aim.words} | {found} | {aim.sign} {aim.bound:g} | {verdict} |")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Runs all parts and prints the table; 1 if a part failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/card"), metavar="FOLDER")
    parser.add_argument("--dry-run", action="store_true", help="all of it on a CPU, with small shapes")
    parser.add_argument("--seconds", type=float, default=350.0, help="for all parts together")
    chosen = parser.parse_args(arguments)
    folder: Path = chosen.out.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        (folder / f"{part.name}.json").unlink(missing_ok=True)
    end = time.monotonic() + chosen.seconds
    well = True
    for part in PARTS:
        good, words = run_part(part, chosen.dry_run, folder, end - time.monotonic())
        well &= good
        print(f"{part.name}: {words}", flush=True)
    table = "\n".join(aims_table(folder))
    (folder / "aims.md").write_text(table + "\n", encoding="utf-8")
    print(table)
    print(f"all outputs: {folder}" + (". A dry run: no figure of it says anything." if chosen.dry_run else ""))
    return int(not well)


if __name__ == "__main__":
    raise SystemExit(main())
