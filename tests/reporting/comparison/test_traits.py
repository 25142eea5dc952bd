"""Differences by size and unlikeness: known curves come out, sizes that were swept join, and nothing is made up."""

import pytest

from ecc_fed.reporting.comparison.figures.traits import scatter
from ecc_fed.reporting.comparison.findings import find
from ecc_fed.reporting.study import load_study


def rights(number):
    return [1] * number + [0] * (20 - number)


def of(findings, trait):
    (found,) = [one for one in findings.associations if one.trait.name == trait and one.measure == findings.outcome]
    return found


def test_what_helps_small_shops_and_unlike_ones_alike(known_run, tmp_path):
    shops = {f"s{number}": number for number in range(1, 9)}
    profiles = {shop: (10 * number, 0.05 * (number % 4) + 0.01 * number) for shop, number in shops.items()}
    known_run("local", 0, {shop: rights(8) for shop in shops}, profiles=profiles)
    known_run("aggregated", 0, {shop: rights(16 - number) for shop, number in shops.items()}, profiles=profiles)
    findings = find(load_study([tmp_path]))
    by_size = of(findings, "training_pairs")
    assert [(point.value, pytest.approx(point.difference.estimate.mean)) for point in by_size.points] == [
        (10 * number, (8 - number) / 20) for number in shops.values()
    ]
    assert by_size.correlation.mean == pytest.approx(-1)
    assert by_size.correlation.high < 0
    assert (by_size.shops, by_size.label, by_size.baseline) == (8, "aggregated", "local")
    unlike = of(findings, "unlikeness").correlation
    assert -1 < unlike.mean < 0
    assert unlike.low < unlike.mean < unlike.high
    drawn = scatter([by_size], 0)
    assert "rank correlation -1.00" in drawn
    assert ">20</text>" in drawn and ">40</text>" in drawn, "sizes within a power of ten have ticks between"
    assert "mathdefault" not in drawn


def test_sizes_that_were_swept_stand_on_one_axis_and_a_shop_is_one_over_them(known_run, tmp_path):
    shops = [f"s{number}" for number in range(6)]
    for pairs, gain in ((10, 6), (40, 3), (200, 0)):
        profiles = dict.fromkeys(shops, (pairs, 0.2))
        config = f"corpus:\n  pairs_per_shop: {pairs}\n  platform_share: 0.25\n"
        for arm, more in (("local", 0), ("aggregated", gain)):
            shops_rights = {shop: rights(5 + more) for shop in shops}
            known_run(arm, 0, shops_rights, name=f"{arm}{pairs}", profiles=profiles, config=config)
    findings = find(load_study([tmp_path]))
    assert [world.label for world in findings.worlds] == [f"pairs_per_shop={pairs}" for pairs in (10, 40, 200)]
    found = of(findings, "training_pairs")
    assert (found.label, len(found.points), found.shops) == ("aggregated", 18, 6)
    assert found.correlation.mean == pytest.approx(-1)
    assert (found.correlation.n, found.correlation.dialogues) == (18, 6)
    same = of(findings, "unlikeness")
    assert same.correlation is None
    assert scatter([same], 0) is None


def test_few_shops_and_older_runs_say_nothing(known_run, tmp_path):
    shops = {f"s{number}": (10 * number, 0.1 * number) for number in range(1, 5)}
    for arm, number in (("local", 5), ("aggregated", 9)):
        known_run(arm, 0, {shop: rights(number + place) for place, shop in enumerate(shops)}, profiles=shops)
    assert of(find(load_study([tmp_path])), "training_pairs").correlation is None
    known_run("none", 1, {"s1": rights(3)}, name="old/none")
    known_run("local", 1, {"s1": rights(4)}, name="old/local")
    assert find(load_study([tmp_path / "old"])).associations == []
