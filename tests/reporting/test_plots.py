"""What the page's plots draw: settings over their values, bytes kind by kind, whole rounds."""

from types import SimpleNamespace

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ecc_fed.reporting.plots import arms, settings
from ecc_fed.reporting.plots.rounds import curves
from ecc_fed.reporting.study import Study, load_study


@pytest.fixture
def drawn(monkeypatch):
    """Every figure that is drawn, as matplotlib has it."""
    found, save = [], Figure.savefig

    def saved(figure, *given, **options):
        save(figure, *given, **options)
        found.append(figure)

    monkeypatch.setattr(Figure, "savefig", saved)
    return found


def sweep(make_run, tmp_path, name, values, arms=("local",), seeds=(0,)):
    for value in values:
        for arm in arms:
            for seed in seeds:
                config = f"adapter:\n  {name}: {value}\n"
                make_run(f"s/{arm}-{value}-{seed}", arm, seed, queries=5, shops=2, rounds=1, config=config)
    return load_study([tmp_path / "s"])


def test_a_swept_number_is_drawn_with_all_its_seeds(make_run, tmp_path, drawn):
    study = sweep(make_run, tmp_path, "rank", (4, 64, 16), arms=("local", "aggregated"), seeds=(0, 1))
    (svg,) = settings.curves(study)
    assert 'aria-label="What arms reach over rank, with 95% intervals"' in svg
    panels = [axes for axes in drawn[-1].axes if axes.get_visible()]
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles == [
        "Final score", "Shop facts right", "Platform facts right", "Wrong with another shop's value", "chrF",
        "Escalated, last round",
    ]  # fmt: skip
    score = panels[0]
    assert score.get_xscale() == "log" and list(score.get_xticks()) == [4, 16, 64]
    lines = [line for line in score.lines if len(line.get_xdata()) == 3]
    assert [list(line.get_xdata()) for line in lines] == [[4, 16, 64]] * 2
    local = [group for group in study.groups if group.arm == "local"]
    assert all(len(group.runs) == 2 for group in local)
    assert list(lines[0].get_ydata()) == [group.final["final_score"].mean for group in local]
    whiskers = {tuple(line.get_ydata()) for line in score.lines if len(set(line.get_xdata())) == 1}
    assert {(group.final["final_score"].low, group.final["final_score"].high) for group in local} <= whiskers


@pytest.mark.parametrize(
    ("values", "scale"), [((1, 2, 3), "linear"), ((0, 0.01, 1), "symlog"), ((1, 10), "log"), ((-1, 100), "linear")]
)
def test_an_axis_is_logarithmic_where_values_span_decades(make_run, tmp_path, drawn, values, scale):
    settings.curves(sweep(make_run, tmp_path, "dropout", values))
    assert {axes.get_xscale() for axes in drawn[-1].axes if axes.get_visible()} == {scale}


@pytest.mark.parametrize("values", [("a", "b"), ("true", "false"), (".inf", ".nan")])
def test_what_is_no_number_is_no_curve(make_run, tmp_path, values):
    assert settings.curves(sweep(make_run, tmp_path, "kind", values)) == []


def test_an_arm_without_the_setting_is_a_line_across():
    def group(arm, *variant):
        return SimpleNamespace(arm=arm, variant=variant, label=f"{arm}{variant}")

    groups = [
        group("local", ("mu", "null"), ("share", "0.5")),
        group("aggregated", ("mu", "0.1"), ("share", "0.5")),
        group("aggregated", ("mu", "1"), ("share", "0.5")),
        group("aggregated", ("mu", "1"), ("share", "0")),
    ]
    found = settings.lines(groups, 0)
    assert [(line.label, sorted(line.points), line.unset is not None) for line in found] == [
        ("local (share=0.5)", [], True),
        ("aggregated (share=0.5)", [0.1, 1.0], False),
        ("aggregated (share=0)", [1.0], False),
    ]
    assert [sorted(line.points) for line in settings.lines(groups, 1)] == [[0.5], [0.5], [0, 0.5]]
    assert settings.lines(groups[:2], 0) == []


def test_no_two_kinds_of_bytes_look_alike_and_the_evaluations_stand_apart(monkeypatch, drawn):
    kinds = {f"kind {number}": 10.0 for number in range(20)} | {"kind 0 (evaluation)": 5.0, "kind 1 (evaluation)": 7.0}
    monkeypatch.setattr(arms, "flows", lambda group: kinds)
    assert arms.traffic_bars(Study((SimpleNamespace(label="local"),), ())) is not None
    serving, evaluation = drawn[-1].axes
    shown = [
        {bars.get_label(): (to_hex(bars[0].get_facecolor()), bars[0].get_hatch()) for bars in axes.containers}
        for axes in (serving, evaluation)
    ]
    assert [len(of) for of in shown] == [20, 2] and all("evaluation" in label for label in shown[1])
    assert len({*shown[0].values(), *shown[1].values()}) == 22
    assert max(patch.get_x() + patch.get_width() for patch in serving.patches) == 200
    assert max(patch.get_x() + patch.get_width() for patch in evaluation.patches) == 12


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_rounds_are_whole_numbers_however_few(make_run, drawn, rounds):
    curves(load_study([make_run("run", queries=1, shops=1, rounds=rounds)]))
    for axes in drawn[-1].axes:
        low, high = axes.get_xlim()
        assert [tick for tick in axes.get_xticks() if low <= tick <= high] == list(range(1, rounds + 1))
