"""Writes the views of a finished study beside this file.

python -m experiments.paper.tables paper_table6 runs/studies/DIR
python -m experiments.paper.tables paper_theta runs/studies/DIR
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ecc_fed.core.errors import EccError
from experiments.paper.published import SCALE
from experiments.paper.table6 import Table6
from experiments.paper.theta import Theta

VIEWS = {"paper_table6": Table6, "paper_theta": Theta}


def main() -> int:
    """Writes the view; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("view", choices=sorted(VIEWS))
    parser.add_argument("directory", type=Path, help="the study's folder, as ecc-fed study wrote it")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder to write to")
    parser.add_argument("--scale", type=float, default=SCALE, help="the paper's steps that one step stands for")
    given = parser.parse_args()
    try:
        for path in VIEWS[given.view](given.scale).write(given.directory, given.output):
            print(path)
    except EccError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
