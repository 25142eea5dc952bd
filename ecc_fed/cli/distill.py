"""`ecc-fed distill`: the customer side of a corpus goes to the teacher; its replies become a data set."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

from rich.console import Console

from ecc_fed.assembly.build import Cloud, build_cloud, build_corpus, keep_texts
from ecc_fed.assembly.compose import compose_run, to_run_config, to_yaml
from ecc_fed.assembly.language import prompt_layout, spoken_in, with_language
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.cli.arguments import CommandParser
from ecc_fed.cli.console import TextConsole
from ecc_fed.cli.progress import run_progress
from ecc_fed.core.errors import UserError
from ecc_fed.core.records import Split
from ecc_fed.core.run_directory import write_text
from ecc_fed.teacher.distillation.data_set import DataSet, sole_filler
from ecc_fed.teacher.distillation.distill import Estimate, Query, estimate, identity, plan_queries

_HELP = """[bold]ecc-fed distill[/] \\[--out DIR] \\[--split NAMES] \\[--limit N] \\[--yes] \\[overrides]

The customer side of a corpus goes to the teacher; its replies become a data set.

  ecc-fed distill teacher=gemini corpus=jddc corpus.path=FILE gateway.max_cost_usd=5
  ecc-fed distill teacher=openai_compatible teacher.model=MODEL --out sets/mine --limit 100

  --out DIR        where it goes (runs/distill); the same command goes on where it stopped
  --split NAMES    stream (what shops serve, the default), history, or stream,history; never the test part
  --limit N        only the first N queries
  --yes            start without asking, although it costs
  --config-dir DIR a folder of your own YAML
  --allow PACKAGE  it may name classes of this package

DIR/distill.jsonl holds query, context, cloud reply, model version and usage, one line per query, in plain text:
it is as private as the corpus. DIR/egress.jsonl holds what left which shop (DIR/teacher_texts.jsonl its words, with
privacy.keep_text=true), DIR/distill.json the sum of it,
DIR/replies.sqlite every reply that was paid for: a pass that is stopped or killed pays for nothing twice.
gateway.max_requests, max_tokens and max_cost_usd stop it cleanly; they count over all passes of a DIR.
The exit code is 0 when every query has its reply.
"""


def main(arguments: list[str]) -> int:
    """Fills a data set; returns the exit code."""
    parser = CommandParser(_HELP, config_dirs=True)
    parser.add_argument("--out", type=Path, default=Path("runs/distill"))
    parser.add_argument("--split", type=_splits, default=("stream",))
    parser.add_number("--limit", least=1, most=None, example=100, default=None)
    parser.add_argument("--yes", action="store_true")
    found, overrides = parser.read(arguments)
    folder, splits = found.out, found.split
    composed = compose_run(overrides, found.config_dirs)
    config = to_run_config(composed, found.allow)
    console = TextConsole(stderr=True)
    with console.status("Reading the corpus"):
        corpus = build_corpus(config)
        config = with_language(config, spoken_in(corpus))
        cloud = build_cloud(config)
        shops = [corpus.shop(shop_id) for shop_id in corpus.shop_ids()]
        queries = plan_queries(shops, splits, config.evolution.teacher_examples)
    if not queries:
        raise UserError(f"The corpus has no pairs in {', '.join(splits)}: choose another --split.")
    layout = prompt_layout(config)
    which = identity(queries, cloud.teacher, layout, cloud.redaction)
    queries = queries[: found.limit]
    waiting = DataSet(folder, which).open_queries(queries)
    expected = estimate(waiting, cloud.teacher, layout)
    _print_estimate(console, cloud, folder, len(queries), len(waiting), expected)
    if expected.most_usd > 0 and not found.yes and not _agreed(console, expected):
        console.print("Nothing was asked.", highlight=False)
        return 0
    with sole_filler(folder):
        data_set = DataSet(folder, which)
        write_text(folder / "config.yaml", to_yaml(composed))
        # Prompts that come again are not paid twice, in this pass or in the next.
        cache = config.gateway.cache_path or str(folder / "replies.sqlite")
        config = replace(config, gateway=replace(config.gateway, cache_path=cache))
        cloud = build_cloud(config, teacher=cloud.teacher)
        keep_texts(config, cloud.gateway, lambda shop_id: folder)
        _fill(data_set, queries, cloud, config, console)
    _print_result(console, data_set, queries)
    return 1 if data_set.open_queries(queries) else 0


def _splits(names: str) -> tuple[Split, ...]:
    given = names.split(",")
    for name in given:
        if name not in ("stream", "history"):
            raise UserError(f"--split {names}: give stream, history, or stream,history; the test part stays unseen.")
    return cast(tuple[Split, ...], tuple(dict.fromkeys(given)))


def _print_estimate(
    console: Console, cloud: Cloud, folder: Path, num_queries: int, num_waiting: int, expected: Estimate
) -> None:
    lines = [f"{cloud.teacher.name}: {num_waiting:,} of {num_queries:,} queries have no reply in {folder} yet."]
    if num_waiting:
        lines.append(
            f"About {expected.requests:,} requests, {expected.input_tokens:,} tokens in, "
            f"{expected.output_tokens:,} out: ${expected.usd:,.4g}; at most ${expected.most_usd:,.4g}, were every "
            "reply of full length. Discounts for cached prompts and repeated attempts are not in it."
        )
        limit = cloud.gateway.budget.max_cost_usd
        if limit is not None:
            lines.append(f"gateway.max_cost_usd={limit:g} stops it before it costs more, all passes together.")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _agreed(console: Console, expected: Estimate) -> bool:
    if not (sys.stdin.isatty() and console.is_terminal):
        raise UserError(
            f"This would cost about ${expected.usd:,.4g}, and there is no terminal to ask at: add --yes to start, "
            "and gateway.max_cost_usd=X to bound it."
        )
    return console.input("Start? \\[y/N] ").strip().lower() in ("y", "yes")


def _fill(data_set: DataSet, queries: list[Query], cloud: Cloud, config: RunConfig, console: Console) -> None:
    # A few waves of parallel calls a chunk: a pass that is killed loses little, and few calls wait for the slowest.
    chunk_size = 4 * config.gateway.max_parallel
    with run_progress("distill", console) as on_progress:

        def on_done(done: int) -> None:
            spent = f"${data_set.spent.cost_usd:.4g} spent" if console.is_terminal else "asking the teacher"
            on_progress(spent, done, len(queries))

        on_done(len(queries) - len(data_set.open_queries(queries)))
        data_set.fill(queries, cloud.gateway, cloud.ledger, chunk_size, on_done)


def _print_result(console: Console, data_set: DataSet, queries: list[Query]) -> None:
    left = len(data_set.open_queries(queries))
    spent = data_set.spent
    console.print(
        f"{len(queries) - left:,} replies in {data_set.rows_path}: {spent.requests:,} requests, "
        f"{spent.tokens:,} tokens, ${spent.cost_usd:,.4g} in all.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if left:
        counts: dict[str, int] = {}
        for failure in data_set.failures.values():
            counts[failure["outcome"]] = counts.get(failure["outcome"], 0) + 1
        reasons = ", ".join(f"{outcome} {count:,}" for outcome, count in sorted(counts.items()))
        console.print(
            f"{left:,} queries have none ({reasons}); {data_set.summary_path} says why. "
            "The same command asks for them again.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
