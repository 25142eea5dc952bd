"""The views of the paper's own studies, by the name that `study.view` gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ecc_fed.reporting.paper.table6 import write_table_6
from ecc_fed.reporting.paper.theta import write_theta

# (folder of the runs, folder to write to) -> files written
VIEWS: Mapping[str, Callable[[Path, Path], list[Path]]] = {"paper_table6": write_table_6, "paper_theta": write_theta}
