"""Every table of the page can be taken as CSV and as LaTeX: its own cells, none lost, none read as more than text."""

import csv
import io
import re
from html import unescape
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from ecc_fed.reporting.page.cells import Cell, PageTable
from ecc_fed.reporting.page.take_away import csv_text, files, latex_text
from ecc_fed.reporting.report import report

TABLE = PageTable(
    ("Arm", "Shop facts right", "Cost", "Errors"),
    (
        (Cell("local (rank=4)"), Cell("60.3%", "[50.1, 70.2]"), Cell("1,234", "on the front"), Cell("=cmd()|x")),
        (Cell("aggregated"), Cell("-3.2", "[-4.0, -1.5]", "bad"), Cell("–"), Cell("a_b & 100% {#1} \\ ~^ <$>")),
        (Cell("[none]"), Cell("+0.5"), Cell("2 kB"), Cell("顺丰")),
    ),
)  # fmt: skip


def read(text):
    return list(csv.reader(io.StringIO(text)))


def test_csv_gives_intervals_and_notes_columns_of_their_own():
    assert read(csv_text(TABLE)) == [
        ["Arm", "Shop facts right", "Shop facts right: low", "Shop facts right: high", "Cost", "Cost: note", "Errors"],
        ["local (rank=4)", "60.3%", "50.1", "70.2", "1,234", "on the front", "'=cmd()|x"],
        ["aggregated", "-3.2", "-4.0", "-1.5", "", "", "a_b & 100% {#1} \\ ~^ <$>"],
        ["[none]", "+0.5", "", "", "2 kB", "", "顺丰"],
    ]


def test_a_sign_is_a_figures_and_whatever_else_begins_with_one_is_text():
    table = PageTable(("x",), tuple((Cell(text),) for text in ("-1,234.5", "+3%", "-1e-05", "-1+2", "+cmd", "-A1")))
    assert [line[0] for line in read(csv_text(table))[1:]] == ["-1,234.5", "+3%", "-1e-05", "'-1+2", "'+cmd", "'-A1"]


def test_latex_is_escaped_and_keeps_intervals():
    text = latex_text(TABLE)
    assert text.startswith("% \\usepackage{booktabs}\n\\begin{tabular}{lrrl}\n\\toprule\n")
    body = text.splitlines()[5:8]
    assert body == [
        r"local (rank=4) & 60.3\% [50.1, 70.2] & 1,234 on the front & =cmd()\textbar{}x \\",
        r"aggregated & $-$3.2 [$-$4.0, $-$1.5] & -- & a\_b \& 100\% \{\#1\} \textbackslash{} \textasciitilde{}"
        r"\textasciicircum{} \textless{}\$\textgreater{} \\",
        r"{}[none] & +0.5 & 2 kB & 顺丰 \\",
    ]
    assert all(len(re.findall(r"(?<!\\)&", line)) == 3 for line in body)


def test_a_file_is_named_after_its_table_and_stands_in_its_link():
    taken, source = files("Differences to local: a/b", TABLE)
    assert (taken.label, taken.name) == ("CSV", "differences_to_local_a_b.csv")
    assert (source.label, source.name) == ("LaTeX", "differences_to_local_a_b.tex")
    assert unquote(taken.address.partition(",")[2]) == csv_text(TABLE)
    assert unquote(source.address.partition(",")[2]) == latex_text(TABLE)
    assert not re.search(r"[#\n\r\t]", taken.address + source.address)


class Tables(HTMLParser):
    """The links before each table, and the table's cells as the page shows them."""

    def __init__(self):
        super().__init__()
        self.links, self.tables, self.cell, self.small = [], [], None, False

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "a" and "download" in given:
            self.links.append((given["download"], given["href"]))
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.cell = ["", ""]
            self.tables[-1][-1].append(self.cell)
        self.small = tag == "small"

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.cell = None

    def handle_data(self, data):
        if self.cell is not None:
            self.cell[self.small] += data


@pytest.fixture
def page(make_run, tmp_path):
    for arm in ("none", "local", "aggregated"):
        make_run(f"study/{arm}", arm, queries=12, shops=3, others=True)
    return report([tmp_path / "study"]).read_text(encoding="utf-8")


def test_every_table_of_the_page_is_taken_whole(page):
    found = Tables()
    found.feed(page)
    assert len(found.tables) > 10 and len(found.links) == 2 * len(found.tables)
    assert len({name for name, _ in found.links}) == len(found.links), "two tables would overwrite one another"
    for place, table in enumerate(found.tables):
        taken = read(unquote(found.links[2 * place][1].partition(",")[2]))
        source = unquote(found.links[2 * place + 1][1].partition(",")[2])
        head, *body = taken
        for shown, line in zip(table[1:], body, strict=True):
            values = dict(zip(head, line, strict=True))
            for (title, _), (text, sub) in zip(table[0], shown, strict=True):
                assert values[title] == ("" if text == "–" else text)
                ends = re.fullmatch(r"\[(.*), (.*)\]", sub)
                if ends:
                    assert (values[f"{title}: low"], values[f"{title}: high"]) == ends.groups()
                elif sub:
                    assert values[f"{title}: note"] == sub
                assert unescape(sub).replace("-", "$-$") in source
