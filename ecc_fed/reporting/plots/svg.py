"""A matplotlib figure as inline SVG that follows the page: its font, its colours, light and dark.

Figures are objects of their own (no pyplot state). Text stays text, so a shop's id in Chinese needs
no font here. The same data give the same bytes.
"""

import html
import io
import re
import textwrap
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ecc_fed.reporting.study import ARM_ORDER, Study

# After Okabe & Ito's palette, told apart by colour-blind readers too; legible on white and on dark grey.
# Floors that copy or read examples are brown; in the order of ARM_ORDER, and two for arms of a user's own.
COLOURS = (
    "#8a8f98", "#8c564b", "#c49c94", "#0072b2", "#56b4e9", "#00868b", "#d55e00", "#009e73", "#cc79a7", "#e69f00",
    "#6a51a3", "#b8a500",
)  # fmt: skip
BASE_COLOUR = "#b9bec6"
# Of a legend: the lines that a figure has room for, and what one more takes.
_USUAL_LINES, _LINE_INCHES = 2, 0.21
# Of a name beside a panel, in characters.
_LONGEST_NAME = 48
_STYLES = ("-", "--", ":", "-.")
# Stands for the page's text colour and is replaced in the SVG.
_INK = "#010203"
_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    # A shop's id may hold a dollar sign.
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "axes.titlecolor": _INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#8a8f98",
    "grid.alpha": 0.25,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
}


def render(name: str, description: str, draw: Callable[[], Figure]) -> str:
    """The figure as an `<svg>` element that scales with the page; ids carry `name`, so plots never clash."""
    out = io.StringIO()
    with matplotlib.rc_context({**_RC, "svg.hashsalt": name}), warnings.catch_warnings():
        # The page draws the text; that the font used for measuring lacks a character does not matter.
        warnings.filterwarnings("ignore", message="Glyph")
        figure = draw()
        FigureCanvasSVG(figure)
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = svg.replace(_INK, "currentColor")
    # Sized by the page; the view box keeps the proportions.
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    sized = rf'\1 role="img" aria-label="{html.escape(description)}" style="max-width:\2pt"'
    svg = re.sub(r'(<svg[^>]*?) width="([\d.]+)pt"', sized, svg, count=1)
    return svg.strip()


def description_of(svg: str) -> str:
    """What `render` was told that the figure shows, as it stands in the element."""
    found = re.search(r'aria-label="([^"]*)"', svg)
    return html.unescape(found[1]) if found else ""


def as_file(svg: str) -> str:
    """A figure of `render` for a file of its own, which has no page behind it."""
    return svg.replace('style="', 'style="background:#ffffff;color:#111111;', 1) + "\n"


def colour(arm: str) -> str:
    """The arm's colour, the same in every plot."""
    index = ARM_ORDER.index(arm) if arm in ARM_ORDER else len(ARM_ORDER) + sum(map(ord, arm)) % 2
    return COLOURS[index]


def styles(study: Study) -> dict[str, str]:
    """Group label -> line style: one a variant."""
    variants = list(dict.fromkeys(group.variant_label for group in study.groups))
    return {group.label: _STYLES[variants.index(group.variant_label) % len(_STYLES)] for group in study.groups}


def round_axis(axes: Axes) -> None:
    """Server rounds along the width: whole numbers alone, few where there are few."""
    axes.set_xlabel("Server round")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def percent(axis: Axis) -> None:
    """Shows shares as per cent."""
    axis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")


def name_lines(axes: Axes, names: Sequence[str]) -> None:
    """Names beside the lines of a panel, the first on top; long ones small and broken, or panels had no room."""
    broken, points = _broken(names)
    axes.set_yticks(range(len(names)), broken)
    axes.tick_params(axis="y", labelsize=points)
    axes.set_ylim(len(names) - 0.5, -0.5)


def line_inches(names: Sequence[str]) -> float:
    """What a line takes whose name stands beside it."""
    broken, points = _broken(names)
    return max(0.32, 0.06 + points / 60 * max(name.count("\n") + 1 for name in broken))


def _broken(names: Sequence[str]) -> tuple[list[str], float]:
    """The names, none wider than 48 characters of the usual size, and their size in points."""
    if max(map(len, names)) <= _LONGEST_NAME:
        return list(names), _RC["font.size"]
    return [textwrap.fill(name, 64, break_on_hyphens=False) for name in names], 7.5


def legend_below(figure: Figure, panels: Sequence[Axes]) -> None:
    """One legend for all panels, below them; none for a single entry.

    The figure grows by what the legend is higher than a usual one, so that the panels keep their height.
    """
    entries: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if len(entries) > 1:
        # About eleven characters fit into an inch; a key takes some six.
        fitting = int(11 * figure.get_figwidth()) // (max(map(len, entries)) + 6)
        columns = max(1, min(5, len(entries), fitting))
        more = -(-len(entries) // columns) - _USUAL_LINES
        figure.set_figheight(figure.get_figheight() + _LINE_INCHES * max(0, more))
        figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns)
