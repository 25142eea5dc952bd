"""`ecc-fed corpus`: what was read, cleaned, dropped and why, and how it was split into shops."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ecc_fed.assembly.build import build_corpus
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.cli.arguments import CommandParser
from ecc_fed.cli.console import TextConsole
from ecc_fed.core.records import Pair, Shop
from ecc_fed.corpus.report import CorpusReport, StepCount

_HELP = """[bold]ecc-fed corpus[/] \\[--json] \\[--pairs N] \\[overrides]   how a corpus is read, cleaned and split

  ecc-fed corpus                                            the simulated shops
  ecc-fed corpus corpus=jddc corpus.path=FILE               a corpus in its published format
  ecc-fed corpus corpus=ecd corpus.path=FILE partition=iid corpus.num_shops=8
  ecc-fed corpus corpus=jsonl corpus.path=FILE --pairs 5    with example pairs of the first shop
  ecc-fed corpus corpus=csv corpus.path=FILE corpus.columns.query=NAME corpus.columns.reply=NAME
  ecc-fed corpus corpus=hf corpus.path=FOLDER               a data set; twcs, bitext, abcd and csconv are other corpora
  --config-dir DIR                                          a folder of your own YAML
  --allow PACKAGE                                           it may name classes of this package
  --json                                                    the same numbers for other tools
"""


def _step_table(title: str, steps: dict[str, StepCount | None]) -> Table:
    table = Table("", "in", "kept", "dropped, by reason", title=Text(title), title_justify="left")
    for name, step in steps.items():
        if step is not None:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(step.dropped.items()) if count)
            table.add_row(name, f"{step.read:,}", f"{step.kept:,}", reasons or "none")
    return table


def _shop_table(shops: list[Shop]) -> Table:
    table = Table("shop", "history", "stream", "test", "description", title="Pairs of each shop", title_justify="left")
    for shop in shops:
        counts = (len(shop.history), len(shop.stream), len(shop.test))
        table.add_row(Text(shop.shop_id), *map(str, counts), Text(shop.description))
    return table


def _print_report(report: CorpusReport, console: Console) -> None:
    steps = {
        "lines": report.lines,
        "turns": report.turns,
        "sessions": report.sessions,
        "placed": report.placed,
        "pairs": report.pairs,
    }
    language = f", {report.language}" if report.language else ""
    console.print(_step_table(f"{report.path} ({report.format}{language})", steps))
    for broken in report.broken_lines:
        console.print(f"  line {broken.number}: {broken.reason}", markup=False, highlight=False)
    if report.edits:
        edits = ", ".join(f"{kind} {count:,}" for kind, count in sorted(report.edits.items()))
        console.print(f"Edits inside kept turns: {edits}", markup=False, highlight=False)
    if report.lengths:
        table = Table("lengths", "count", "mean", "median", "95%", "longest", title_justify="left")
        for name, stats in report.lengths.items():
            row = (
                f"{stats.count:,}",
                f"{stats.mean:.1f}",
                f"{stats.median:.0f}",
                f"{stats.p95:.0f}",
                str(stats.longest),
            )
            table.add_row(name, *row)
        console.print(table)
    for note in (report.order, *report.notes):
        console.print(f"Note: {note}", markup=False, highlight=False)


def _print_pairs(pairs: tuple[Pair, ...], console: Console) -> None:
    for pair in pairs:
        for turn in pair.prompt:
            console.print(f"  {turn.role}: {turn.text}", markup=False, highlight=False)
        console.print(f"  -> {pair.reply}\n", markup=False, highlight=False)


def main(arguments: list[str]) -> int:
    """Shows a corpus; returns the exit code."""
    parser = CommandParser(_HELP, config_dirs=True)
    parser.add_argument("--json", action="store_true")
    parser.add_number("--pairs", least=0, most=None, example=5, default=0)
    found, overrides = parser.read(arguments)
    config = to_run_config(compose_run(overrides, found.config_dirs), found.allow)
    console = TextConsole()
    with TextConsole(stderr=True).status("Reading and splitting the corpus"):
        corpus = build_corpus(config)
        shops = [corpus.shop(shop_id) for shop_id in corpus.shop_ids()]
        report: CorpusReport | None = getattr(corpus, "report", lambda: None)()
    if found.json:
        counts: list[dict[str, Any]] = [
            {"shop_id": s.shop_id, "history": len(s.history), "stream": len(s.stream), "test": len(s.test)}
            for s in shops
        ]
        console.print_json(json.dumps({"report": report and report.as_dict(), "shops": counts}, ensure_ascii=False))
        return 0
    if report is not None:
        _print_report(report, console)
    console.print(_shop_table(shops))
    _print_pairs(shops[0].test[: found.pairs], console)
    return 0
