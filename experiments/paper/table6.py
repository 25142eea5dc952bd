"""The paper's Tables V and VI and Fig. 3 from a study's runs, beside the paper's own figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.core.run_directory import read_json, write_text
from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.formatting import MISSING, bytes_text, count_text, number_text
from ecc_fed.reporting.units import drawn_text
from experiments.paper.claims import Claim, claims, fact_value, shown
from experiments.paper.plot import figure_3
from experiments.paper.published import COLUMNS, COPY, ORIGINAL, QUERIES, SCALE, SOURCE, column_name, paper_means
from experiments.paper.runs import Column, ColumnKey, Grid, StudyRun, columns_of, load_runs


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table; bars and line ends in cells are made harmless."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in (head, *rows)]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]]) + "\n"


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def _paper(key: ColumnKey, index: int) -> str:
    return f" ({QUERIES[index].scores[COLUMNS.index(key)]:.3f})" if key in COLUMNS and index < len(QUERIES) else ""


def _extra_ids(grid: Grid) -> list[str]:
    return sorted({key[2] for key in grid.keys})


def _six(grid: Grid, key: ColumnKey) -> list[float | None]:
    """A column's score of every extra query, and their mean."""
    scores = [grid.of_query(pair_id, key) for pair_id in _extra_ids(grid)]
    known = [score for score in scores if score is not None]
    return [*scores, sum(known) / len(known) if known else None]


def table_6(columns: Sequence[Column], scores: Grid, facts: Grid, extra: Grid) -> str:
    """Table VI: a row a query, then means; the paper's figure in brackets."""
    keys = [column.key for column in columns]
    text = {row.pair_id: row.query for row in columns[0].extra.values()}
    of_key = {key: _six(extra, key) for key in keys}
    rows = []
    for index, pair_id in enumerate(_extra_ids(extra)):
        query = f"{QUERIES[index].text} {text[pair_id]}" if index < len(QUERIES) else text[pair_id]
        rows.append([query, *(_number(of_key[key][index]) + _paper(key, index) for key in keys)])
    if rows:
        paper = paper_means()
        means = [_number(of_key[k][-1]) + (f" ({paper[k]:.3f})" if k in paper else "") for k in keys]
        rows.append([f"Mean of the {len(rows)}", *means])
    rows.append([f"**{len(scores.keys)} held-out queries**", *(shown(scores.mean(key)) for key in keys)])
    rows.append([f"Right facts ({len(facts.keys)} queries)", *(shown(facts.mean(key)) for key in keys)])
    return markdown(["User input", *map(column_name, keys)], rows)


def table_5(columns: Sequence[Column]) -> str:
    """Table V: what each column says to the extra queries, in the first shop of the first seed."""
    places = sorted({key[:2] for key in columns[0].extra})
    if not places:
        return ""
    seed, shop = places[0]
    parts = [f"Replies here are those of {shop}, seed {seed}.\n"]
    ids = sorted({key[2] for key in columns[0].extra})
    for index, pair_id in enumerate(ids):
        said = [(column, column.extra.get((seed, shop, pair_id))) for column in columns]
        first = next(row for _, row in said if row is not None)
        paper = QUERIES[index] if index < len(QUERIES) else None
        theirs = dict(zip(COLUMNS, paper.replies, strict=False)) if paper else {}
        rows = [
            [
                column_name(column.key),
                theirs.get(column.key, MISSING),
                MISSING if row is None else row.reply or "(empty)",
            ]
            for column, row in said
        ]
        rows.append(["The cloud", MISSING, first.cloud_reply or MISSING])
        title = f"{paper.text} {first.query}" if paper else first.query
        parts.append(f"**{title}**\n\n" + markdown(["", "The paper", "Here"], rows))
    return "\n".join(parts)


def trainable_parameters(run: StudyRun) -> int | None:
    """Values that one shop trains, counted in its optimizer; None where no state is left.

    Raises:
        RunDirectoryError: the optimizer cannot be read.
    """
    for path in sorted(run.run.directory.shops.glob("*/round_*/optimizer.safetensors")):
        total = 0
        try:
            with safe_open(path, framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118 - a safetensors file is no mapping
                    size = 1
                    for length in file.get_slice(name).get_shape():
                        size *= length
                    total += size * name.startswith("m.")
        except (OSError, SafetensorError) as error:
            raise RunDirectoryError(f"{path} cannot be read: {error}") from error
        return total
    return None


def losses_of(column: Column) -> dict[tuple[int, str], float]:
    """(seed, shop) -> mean training loss over the run's steps."""
    found = {}
    for run in column.runs:
        for row in run.run.metrics or ():
            if row.train_loss is not None:
                found[run.run.seed, row.shop_id] = row.train_loss
    return found


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def costs(columns: Sequence[Column]) -> str:
    """What each method costs, from the runs themselves."""
    rows = []
    for column in columns:
        if column.key in (ORIGINAL, COPY):
            continue
        metrics = [row for run in column.runs for row in run.run.metrics or ()]
        first = column.runs[0]
        peaks = [float(run.run.info.runtime.peak_rss_bytes) for run in column.runs]
        labels = _mean([row.pseudo_labels for row in metrics if row.split == "stream"])
        rows.append([
            column_name(column.key),
            count_text(trainable_parameters(first)),
            str(first.setting("finetune.steps")),
            f"{first.setting('finetune.learning_rate'):g}",
            str(first.setting("runtime.engine")),
            number_text(_mean([row.train_seconds for row in metrics])),
            number_text(_mean([row.train_loss for row in metrics if row.train_loss is not None])),
            number_text(labels),
            bytes_text(max(peaks)),
        ])  # fmt: skip
    head = [
        "Method", "Trainable parameters", "Steps a shop", "Learning rate", "Engine", "Seconds of fine-tuning a shop",
        "Mean training loss", "Pseudo-labels a shop", "Host's peak memory",
    ]  # fmt: skip
    return markdown(head, rows) + (
        "\nSeconds are the wall's, with whatever else the machine did. A host's peak is its process's so far, and the "
        "host serves a study's runs one after another.\n"
    )


def measured_costs(path: Path) -> str:
    """The table of `experiments/paper/costs.py`, where it was run; else nothing.

    Raises:
        RunDirectoryError: the file is broken.
    """
    if not path.exists():
        return ""
    rows = [
        [
            name,
            count_text(of["trainable_parameters"]),
            number_text(of["cpu_seconds_per_step"]),
            number_text(of["cpu_seconds_per_reply"]),
            bytes_text(of["training_bytes"]),
            bytes_text(of["peak_bytes"]),
        ]
        for name, of in read_json(path)["methods"].items()
    ]
    head = [
        "Method", "Trainable parameters", "CPU seconds a step", "CPU seconds a reply", "Memory that fine-tuning adds",
        "Peak memory of the process",
    ]  # fmt: skip
    return (
        "\nEach method in a process of its own, one engine for all (`python -m experiments.paper.costs`):\n\n"
        + markdown(head, rows)
    )


def _say(found: Sequence[Claim]) -> str:
    return "\n".join(f"- **{claim.text} {claim.verdict.capitalize()}.** {claim.evidence}." for claim in found) + "\n"


def _setting(columns: Sequence[Column]) -> str:
    runs = columns[0].runs
    shops = sorted({(run.run.seed, shop) for run in runs for shop in run.run.shops})
    return (
        f"{len(runs)} seeds ({', '.join(str(run.run.seed) for run in runs)}), {len(shops)} shops in all, each evolving "
        f"by itself (no server). One step here stands for {runs[0].scale:g} of the paper's. Intervals are 95% "
        f"bootstrap intervals over {drawn_text(columns[0].seeded)}, paired where columns are compared.\n"
    )


def _page(columns: Sequence[Column], scores: Grid, extra: Grid, measured: Path) -> str:
    facts = Grid(columns, fact_value)
    losses: Mapping[ColumnKey, Mapping[tuple[int, str], float]] = {
        column.key: losses_of(column) for column in columns if column.phase == "final"
    }
    return "\n".join([
        "# The paper's Tables V and VI\n",
        _setting(columns),
        "## What holds\n",
        _say(claims(columns, scores, facts, losses)),
        "## Table VI\n",
        f"Final scores; in brackets the paper's ({SOURCE}).\n",
        table_6(columns, scores, facts, extra),
        "The six queries ask about real products and couriers. They lie outside the world that the embedded model and "
        "its judge were trained on, so their scores, given as they are, say little; the held-out queries are this "
        "world's own.\n",
        "![Fig. 3](figure3.svg)\n",
        "## Table V\n",
        "The paper's replies in its own English translation, cut at […]; it prints none for LoRA at 15,000 steps.\n",
        table_5(columns),
        "## Costs\n",
        costs(columns) + measured_costs(measured),
    ])  # fmt: skip


def _figure(columns: Sequence[Column], scores: Grid, extra: Grid) -> str:
    held_out: list[Estimate | None] = [scores.mean(column.key) for column in columns]
    bars = [
        [*_six(extra, column.key), None if estimate is None else estimate.mean]
        for column, estimate in zip(columns, held_out, strict=True)
    ]
    return figure_3([column_name(column.key) for column in columns], bars, held_out)


@dataclass(frozen=True)
class Table6:
    """The view of study `paper_table6`; one step of its runs stands for `scale` of the paper's."""

    scale: float = SCALE

    def write(self, directory: Path, output: Path) -> list[Path]:
        """Writes `table6.md` and `figure3.svg` for the runs in `directory`; returns their paths.

        Raises:
            UserError: no run, or columns without a common seed.
            RunDirectoryError: a run's file is broken, or the output cannot be written.
        """
        columns = columns_of(load_runs(directory, self.scale))
        scores = Grid(columns, lambda row: row.final_score)
        extra = Grid(columns, lambda row: row.final_score, extra=True)
        paths = [output / "table6.md", output / "figure3.svg"]
        write_text(paths[0], _page(columns, scores, extra, output / "costs.json"))
        write_text(paths[1], _figure(columns, scores, extra))
        return paths
