"""What the cloud was told: true values of a run's customers that stand in the texts kept of what left for it.

ecc-fed study privacy_cloud --out runs/privacy_cloud
python -m experiments.privacy.cloud runs/privacy_cloud      # a line an arm and redaction
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecc_fed.assembly.build import build_corpus
from ecc_fed.core.errors import EccError
from ecc_fed.core.records import EgressEntry, TeacherText
from ecc_fed.core.rows import read_rows
from ecc_fed.reporting.formatting import MISSING
from ecc_fed.reporting.study import load_study
from ecc_fed.runs.finished_run import FinishedRun, open_run
from ecc_fed.teacher.gateway.texts import read_texts
from experiments.paper.table6 import markdown
from experiments.privacy.scan import Haystack


@dataclass(frozen=True)
class Heard:
    """Of so many `said` private values, each once a shop, the cloud read `found`."""

    said: int
    found: int

    def __add__(self, other: Heard) -> Heard:
        return Heard(self.said + other.said, self.found + other.found)


def heard(run: FinishedRun) -> Heard | None:
    """Over all shops, in what they asked while serving; None where they asked nothing, or the run keeps no texts.

    What its evaluation asked is no device's doing.

    Raises:
        CorpusError: the corpus cannot be read.
        RunDirectoryError: the file of texts is broken.
    """
    if not run.config.privacy.keep_text:
        return None
    served = {
        (entry.shop_id, entry.digest)
        for entry in read_rows(run.directory.egress, EgressEntry)
        if entry.destination == "cloud_teacher" and entry.direction == "up"
        if entry.details.get("purpose") != "evaluate"
    }
    sent: dict[str, list[TeacherText]] = {shop_id: [] for shop_id in run.shop_ids}
    for text in read_texts(run.directory.teacher_texts):
        if (text.shop_id, text.digest) in served:
            sent[text.shop_id].append(text)
    if not any(sent.values()):
        return None
    corpus, total = build_corpus(run.config), Heard(0, 0)
    for shop_id, texts in sent.items():
        truths = corpus.truth(shop_id).values()
        values = {value.value for truth in truths for value in truth.private_values}
        total += Heard(len(values), len(found_in(texts, sorted(values))))
    return total


def found_in(texts: Sequence[TeacherText], values: Sequence[str]) -> set[str]:
    """The values that one of the texts holds, in any form; lines of two texts are never read as one."""
    return {value for text in texts for value in Haystack(text.text).found(values)}


def table(directory: Path) -> str:
    """A row an arm and redaction, over all seeds, of the runs below `directory`.

    Raises:
        UserError: no finished run lies there.
    """
    rows = []
    for group in load_study([directory]).groups:
        told = [each for run in group.runs if (each := heard(open_run(run.directory.root))) is not None]
        total = sum(told, Heard(0, 0))
        rows.append([f"`{group.label}`", f"{total.found:,} of {total.said:,}" if told else MISSING])
    return markdown(["Arm", "Private values that the cloud read while shops served"], rows)


def main() -> int:
    """Prints the table; returns 2 for a folder without runs."""
    parser = argparse.ArgumentParser(prog="python -m experiments.privacy.cloud", description=__doc__)
    parser.add_argument("runs", type=Path, help="a folder that holds finished runs")
    try:
        print(table(parser.parse_args().runs))
    except EccError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
