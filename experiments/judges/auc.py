"""AUC of every judge at hand on human answers against answers of other dialogues.

    python -m experiments.judges.auc ecd=FILE jddc=FILE [--judges embedded lexical e5 minilm] [--pairs 300] [--seed 0]

One half of the dialogues gives the thresholds (`accept_score` and `gate_relevance` of a judge's YAML), the other the
figures. Intervals are 95% bootstraps over shops, dialogues and rows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np

from ecc_fed.assembly.build import build_judge
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.core.errors import ModelError
from ecc_fed.core.protocols import Judge
from ecc_fed.core.records import Array
from ecc_fed.core.statistics import Estimate, Units, bootstrap_auc
from experiments.judges.answers import Case, halves

JUDGES = ("embedded", "lexical", "e5", "minilm")
COLUMNS = ("similarity, to the teacher's reply", "score, Eq. (1)", "relevance", "similarity, to the answer in part")


class Scored:
    """One judge's scores of the human answers and the others of some cases, row by row."""

    def __init__(self, judge: Judge, cases: Sequence[Case]) -> None:
        rows = [(case, reply) for case in cases for reply in (case.pair.reply, *case.others)]
        queries, replies = [case.pair.query for case, _ in rows], [reply for _, reply in rows]
        started = time.perf_counter()
        judged = judge.judge(queries, replies, [case.teacher for case, _ in rows])
        self.pairs_per_second = len(rows) / (time.perf_counter() - started)
        parts = judge.judge(queries, replies, [case.part for case, _ in rows])
        self.own = np.array([reply == case.pair.reply for case, reply in rows])
        self.units = Units([case.pair.shop_id for case, _ in rows], [case.pair.session_id for case, _ in rows])
        self.columns: tuple[Array, ...] = (
            np.array([each.similarity for each in judged], np.float32),
            np.array([each.final_score for each in judged], np.float32),
            np.array([each.relevance for each in judged], np.float32),
            np.array([each.similarity for each in parts], np.float32),
        )

    def areas(self, seed: int) -> list[Estimate | None]:
        """The AUC of every column."""
        return [bootstrap_auc(column, self.own, self.units, seed) for column in self.columns]

    def thresholds(self) -> dict[str, float]:
        """What 95 of 100 others' scores, and three in four of their relevances, stay below."""
        _, score, relevance, _ = self.columns
        return {
            "accept_score": float(np.quantile(score[~self.own], 0.95)),
            "gate_relevance": float(np.quantile(relevance[~self.own], 0.75)),
        }


def _cell(estimate: Estimate | None) -> str:
    if estimate is None or estimate.low is None:
        return "–"
    return f"{estimate.mean:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def main() -> None:
    """Prints a table for each file, and the thresholds of each judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="CORPUS=FILE", help="such as jddc=jddc.txt")
    parser.add_argument("--judges", nargs="+", default=JUDGES)
    parser.add_argument("--pairs", type=int, default=300, help="most queries of a half")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for file in given.files:
        corpus, _, path = file.partition("=")
        first, second = halves(corpus, path, given.pairs, given.seed)
        print(f"\n{corpus}: {len(first)} queries for thresholds, {len(second)} for the figures\n")
        print("| judge | " + " | ".join(COLUMNS) + " | pairs a second |\n" + "|---" * (len(COLUMNS) + 2) + "|")
        told = []
        for name in given.judges:
            try:
                judge = build_judge(to_run_config(compose_run([f"judge={name}"])))
            except ModelError as error:
                told.append(f"{name}: left out, {error}")
                continue
            found = Scored(judge, second)
            cells = [_cell(area) for area in found.areas(given.seed)]
            print(f"| {name} | " + " | ".join(cells) + f" | {found.pairs_per_second:,.0f} |", flush=True)
            limits = Scored(judge, first).thresholds()
            told.append(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in limits.items()))
        print("\n" + "\n".join(told), flush=True)


if __name__ == "__main__":
    main()
