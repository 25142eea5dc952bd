"""The table of the arms for the terminal."""

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from ecc_fed.reporting.formatting import difference_text, estimate_text
from ecc_fed.reporting.measures import BY_NAME
from ecc_fed.reporting.tables.rows import HEADLINE, ArmRow, cells, cost_cells


def terminal_tables(
    rows: Sequence[ArmRow], width: int, last: tuple[str, Mapping[str, str]] | None = None
) -> list[Table]:
    """Arms side by side as columns, as many to a table as `width` characters hold; one arm beside its base.

    The teacher's and the human agent's replies stand behind the arms. `last` is a line below, a title and a text for
    some of the arms.
    """
    if rows and all(row.other for row in rows[1:]):
        return [_before_and_after(rows[0], rows[1:])]
    body = [cells(row, "\n") for row in rows]
    titles = list(body[0]) if body else []
    # Cells are at most "[0.712, 0.733]" wide, unless the arm's own name is wider.
    widths = [max(16, *(len(word) + 2 for word in row.label.split())) for row in rows]
    tables: list[Table] = []
    start = 0
    while start < len(rows):
        stop = start + 1
        while stop < len(rows) and max(map(len, titles)) + 3 + sum(widths[start : stop + 1]) <= width:
            stop += 1
        table = Table(show_lines=False, row_styles=["", "dim"], pad_edge=False)
        table.add_column("final, 95% interval")
        for row in rows[start:stop]:
            table.add_column(Text(row.label), justify="right", overflow="fold")
        seeds = [", ".join(map(str, row.group.seeds)) for row in rows[start:stop]]
        table.add_row("Seeds", *seeds)
        table.add_row("Intervals over", *[row.group.drawn for row in rows[start:stop]])
        for title in titles:
            table.add_row(title, *[cell[title] for cell in body[start:stop]])
        if last is not None and any(row.label in last[1] for row in rows[start:stop]):
            table.add_row(last[0], *["" if row.other else last[1].get(row.label, "") for row in rows[start:stop]])
        tables.append(table)
        start = stop
    return tables


def _before_and_after(row: ArmRow, others: Sequence[ArmRow]) -> Table:
    table = Table(show_lines=False, row_styles=["", "dim"], pad_edge=False)
    labels = [other.label for other in others]
    for title in ("95% interval", "before", f"after ({row.group.label})", "paired difference", *labels):
        table.add_column(Text(title), justify="left" if title == "95% interval" else "right", overflow="fold")
    differences = row.group.gain().differences
    empty = [""] * len(others)
    table.add_row("Intervals over", "", row.group.drawn, "", *empty)
    for name in HEADLINE:
        measure = BY_NAME[name]
        before, after = (estimate_text(of[name], measure, "\n") for of in (row.group.base, row.measures))
        of_others = [estimate_text(other.measures[name], measure, "\n") for other in others]
        table.add_row(measure.label, before, after, difference_text(differences[name], measure, "\n"), *of_others)
    for title, text in cost_cells(row, "\n").items():
        table.add_row(title, "", text, "", *empty)
    return table
