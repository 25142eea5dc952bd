"""One measure for every shop."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecc_fed.core.rows import Phase
from ecc_fed.reporting.measures import BY_NAME
from ecc_fed.reporting.plots.svg import BASE_COLOUR, colour, legend_below, percent, render
from ecc_fed.reporting.study import Group, Study
from ecc_fed.reporting.summary import by_shop

_MAX_LABELLED_SHOPS = 20
# Label, colour, and a value for every shop.
Series = tuple[str, str, Mapping[str, float]]


def shop_bars(study: Study, name: str) -> list[str]:
    """One measure for every shop: before evolution, and after it in every arm (means over seeds).

    A plot for each part of a sweep. With more than 20 shops, each arm's shops in ascending order: a
    bar each would be no picture.
    """
    drawn = [_shop_bars(part, name, index) for index, part in enumerate(study.variants)]
    return [svg for svg in drawn if svg is not None]


def _shop_bars(part: Study, name: str, index: int) -> str | None:
    measure = BY_NAME[name]
    groups = [group for group in part.groups if group.evolves] or list(part.groups)
    series = [("before", BASE_COLOUR, _shop_means(part.groups[0], "base", name))]
    series += [(group.arm, colour(group.arm), _shop_means(group, "final", name)) for group in groups]
    shops = sorted({shop for _, _, values in series for shop in values})
    if not shops:
        return None
    label = part.groups[0].variant_label

    def draw() -> Figure:
        figure = Figure(figsize=(10, 3.2), layout="constrained")
        axes = figure.subplots()
        if len(shops) <= _MAX_LABELLED_SHOPS:
            _draw_bars(axes, shops, series)
        else:
            _draw_sorted(axes, series)
        axes.set_title(f"{measure.label}, per shop" + (f" ({label})" if label else ""))
        if measure.unit == "share":
            percent(axes.yaxis)
        axes.set_ylim(bottom=0)
        legend_below(figure, [axes])
        return figure

    return render(f"shops-{index}-{name}", f"{measure.label} per shop before and after evolution", draw)


def _shop_means(group: Group, phase: Phase, name: str) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for run in group.runs:
        for shop, of in by_shop(run.rows(phase)).items():
            value = of[name]
            if value is not None:
                found.setdefault(shop, []).append(value)
    return {shop: sum(values) / len(values) for shop, values in found.items()}


def _draw_bars(axes: Axes, shops: Sequence[str], series: Sequence[Series]) -> None:
    width = 0.84 / len(series)
    for index, (label, shade, values) in enumerate(series):
        there = [(position, values[shop]) for position, shop in enumerate(shops) if shop in values]
        places = [position - 0.42 + width * (index + 0.5) for position, _ in there]
        axes.bar(places, [value for _, value in there], width * 0.92, color=shade, label=label)
    if len(shops) > 8:
        axes.set_xticks(range(len(shops)), shops, rotation=30, ha="right")
    else:
        axes.set_xticks(range(len(shops)), shops)
    axes.grid(axis="x", visible=False)


def _draw_sorted(axes: Axes, series: Sequence[Series]) -> None:
    for label, shade, values in series:
        ordered = sorted(values.values())
        axes.plot(range(1, len(ordered) + 1), ordered, color=shade, label=label)
    axes.set_xlabel("Shops in ascending order")
