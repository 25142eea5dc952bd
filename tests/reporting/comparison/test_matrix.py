"""The matrix by hand, and its picture."""

import re

import pytest

from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Units, bootstrap_mean
from ecc_fed.reporting.comparison.figures.matrix import MAX_SHOPS, heat_map
from ecc_fed.reporting.comparison.findings import find
from ecc_fed.reporting.comparison.worlds import FACTS, ShopKey
from ecc_fed.reporting.study import load_study


def test_every_arm_on_every_shop(known_run, tmp_path):
    known_run("local", 0, {"a": [1, 1, 0, 0], "b": [1, 1, 1, 0]})
    known_run("aggregated", 0, {"a": [0, 0, 0, 1], "c": [1, 1]})
    (matrix,) = find(load_study([tmp_path])).matrices
    cells = {
        (shop.shop_id, group.arm): None if (cell := matrix.cell(shop, group.label, FACTS)) is None else cell.mean
        for shop in matrix.world.queries
        for group in matrix.world.groups
    }
    assert cells == {
        ("a", "local"): 0.5, ("b", "local"): 0.75, ("c", "local"): None,
        ("a", "aggregated"): 0.25, ("b", "aggregated"): None, ("c", "aggregated"): 1.0,
    }  # fmt: skip
    # The interval is that of the shop's dialogues.
    alone = bootstrap_mean([1, 1, 0, 0], Units([0] * 4, "abcd"), derive_seed(0, "report", "matrix", "", "0", "a"))
    found = matrix.cell(ShopKey(0, "a"), "local", FACTS)
    assert (found.low, found.high, found.n, found.shops) == (alone.low, alone.high, 4, None)


def test_the_picture_has_every_figure_from_the_worst_served_shop_down(known_run, tmp_path):
    known_run("local", 0, {"best": [1] * 4, "worst": [0] * 4, "half": [0, 0, 1, 1]})
    (matrix,) = find(load_study([tmp_path])).matrices
    svg = heat_map(matrix, FACTS, 0)
    assert re.findall(r">(best|worst|half|0|50|100)</text>", svg) in (
        ["worst", "half", "best", "0", "50", "100"], ["0", "50", "100", "worst", "half", "best"],
    )  # fmt: skip
    assert "<image" not in svg


def test_too_many_shops_are_no_picture(known_run, tmp_path):
    known_run("local", 0, {f"s{number}": [1] for number in range(MAX_SHOPS + 1)})
    (matrix,) = find(load_study([tmp_path])).matrices
    assert heat_map(matrix, FACTS, 0) is None
    assert matrix.cell(ShopKey(0, "s60"), "local", FACTS).mean == pytest.approx(1)
