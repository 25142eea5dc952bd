"""A table of the page as a file: CSV and LaTeX inside links, so that they can be saved offline and without a script."""

import csv
import io
import re
from typing import NamedTuple
from urllib.parse import quote

from ecc_fed.core.outside_text import visible
from ecc_fed.reporting.formatting import MISSING
from ecc_fed.reporting.page.cells import Cell, PageTable
from ecc_fed.reporting.tables.export import text_cell

_INTERVAL = re.compile(r"\[(\S+), (\S+)\]")
# A figure may begin with its sign; whatever else does would be a formula to a spreadsheet.
_FIGURE = re.compile(r"[+-]\d[\d,]*(\.\d+)?(e[+-]?\d+)?%?")
# Left as they are in a link; quotes and angle brackets are the template's to escape.
_SAFE = " ,:;/()[]{}=!?*@|~$^_\\&'\"<>"
# What LaTeX would take for more than text, and what its usual fonts lack.
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "\n": " ", "–": "--", "…": r"\dots{}", "·": r"$\cdot$", "−": "$-$",
    "ρ": r"$\rho$", "ε": r"$\varepsilon$", "δ": r"$\delta$",
}  # fmt: skip
# A hyphen that a figure begins with is its sign.
_SIGN = re.compile(r"(?<![\w.-])-(?=\d)")


class File(NamedTuple):
    """A link's label, the file's name, and the file as a `data:` address."""

    label: str
    name: str
    address: str


def files(title: str, table: PageTable) -> list[File]:
    """The table as CSV and as LaTeX, named after its title."""
    name = re.sub(r"[^\w]+", "_", title.lower()).strip("_")
    return [
        File("CSV", f"{name}.csv", f"data:text/csv;charset=utf-8,{quote(csv_text(table), safe=_SAFE)}"),
        File("LaTeX", f"{name}.tex", f"data:text/x-tex;charset=utf-8,{quote(latex_text(table), safe=_SAFE)}"),
    ]


def csv_text(table: PageTable) -> str:
    """The table as CSV; an interval's ends, and whatever else stands under a figure, have columns of their own.

    What is missing is empty, as in the files beside the page.
    """
    columns = [_split([Cell(title), *[row[place] for row in table.rows]]) for place, title in enumerate(table.columns)]
    out = io.StringIO()
    parts = [part for column in columns for part in column]
    csv.writer(out, lineterminator="\n").writerows(zip(*parts, strict=True))
    return out.getvalue()


def _split(cells: list[Cell]) -> list[list[str]]:
    """A column with its title as one column or several."""
    title, body = cells[0].text, cells[1:]
    found = [_INTERVAL.fullmatch(cell.sub) for cell in body]
    parts = [[_text(cell.text) for cell in cells]]
    if any(found):
        for end, name in enumerate(("low", "high"), start=1):
            parts.append([_text(f"{title}: {name}"), *["" if of is None else of[end] for of in found]])
    notes = ["" if of is not None else cell.sub for of, cell in zip(found, body, strict=True)]
    if any(notes):
        parts.append([_text(f"{title}: note"), *map(_text, notes)])
    return parts


def _text(text: str) -> str:
    if text == MISSING:
        return ""
    return text if _FIGURE.fullmatch(text) else text_cell(text)


def latex_text(table: PageTable) -> str:
    """The table as a `tabular` of the package booktabs, every text escaped; Chinese wants XeLaTeX or LuaLaTeX."""
    numeric = [place > 0 and _is_numeric([row[place] for row in table.rows]) for place in range(len(table.columns))]
    lines = [
        r"% \usepackage{booktabs}",
        rf"\begin{{tabular}}{{{''.join('r' if of else 'l' for of in numeric)}}}",
        r"\toprule",
        _line([Cell(title) for title in table.columns]),
        r"\midrule",
        *[_line(row) for row in table.rows],
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _is_numeric(cells: list[Cell]) -> bool:
    return all(cell.text == MISSING or re.match(r"[+-]?\d", cell.text) for cell in cells)


def _line(cells: tuple[Cell, ...] | list[Cell]) -> str:
    texts = [_latex(" ".join(part for part in (cell.text, cell.sub) if part)) for cell in cells]
    # After the end of a line, a bracket or a star would be an argument of it.
    first = f"{{}}{texts[0]}" if texts[0].startswith(("[", "*")) else texts[0]
    return rf"{' & '.join([first, *texts[1:]])} \\"


def _latex(text: str) -> str:
    signed = _SIGN.sub("−", visible(text))
    return "".join(_LATEX.get(character, character) for character in signed)
