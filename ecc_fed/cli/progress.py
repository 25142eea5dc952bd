"""Progress bars for long work: on the terminal where there is one, plain lines where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ecc_fed.runs.progress import OnProgress


@contextmanager
def run_progress(title: str, console: Console) -> Iterator[OnProgress]:
    """One bar for a run; the stage stands beside it. Where there is no terminal: one line per stage."""
    if not console.is_terminal:
        seen: set[str] = set()

        def print_stage(stage: str, done: int, total: int) -> None:
            if stage not in seen:
                seen.add(stage)
                console.print(f"{title}: {stage}", markup=False, highlight=False)

        yield print_stage
        return
    columns = (
        TextColumn("{task.description:<14}", style="bold", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[stage]}", markup=False),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=None, stage="starting")
        yield lambda stage, done, total: progress.update(task, completed=done, total=total, stage=stage)
