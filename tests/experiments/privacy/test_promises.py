"""The promises of secure aggregation and of the accountant, on a small adapter."""

import re

import pytest

from ecc_fed.privacy.accounting import NoisySteps
from ecc_fed.privacy.secure_aggregation.messages import STAGES
from experiments.privacy import promises

SHAPES = {"base_model.model.q_proj.lora_A.weight": (2, 3), "base_model.model.q_proj.lora_B.weight": (3, 2)}


def test_the_sum_is_that_of_those_who_are_left_and_too_few_have_none() -> None:
    rows = list(promises.secure_rows(SHAPES))
    assert [row[:2] for row in rows] == [[stage, f"{count} of 8"] for stage in STAGES for count in (2, 5)]
    assert [row[2] for row in rows] == ["6", "3", "6", "none", "6", "none", "8", "none"]
    for _, _, shops, told in rows:
        if shops == "none":
            assert "secure aggregation stopped at stage" in told and "6 are needed" in told
        else:
            assert float(told) <= 1e-5


def test_what_a_sum_is_held_against_is_the_weighted_mean() -> None:
    shops = promises.Shops(promises.SHOPS, SHAPES, None)
    first, second = (shops.update(shop_id, 1) for shop_id in promises.SHOPS[:2])
    assert (first.num_examples, second.num_examples) == (1, 2)
    mean = promises.weighted_mean(shops, promises.SHOPS[:2])
    for name, tensor in mean.items():
        assert tensor == pytest.approx((first.adapter[name] + 2.0 * second.adapter[name]) / 3)


def test_both_accountants_stand_beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promises, "SCHEDULES", {"all": (NoisySteps(5.0, 1.0, 10),)})
    for _, ours, theirs, difference in promises.accounting_rows():
        assert float(ours) != float(theirs) and re.fullmatch(r"[+-]\d+\.\d%", difference)
        assert abs(float(difference[:-1])) <= 2
    assert promises.googles([NoisySteps(5.0, 1.0, 10)]) < promises.googles([NoisySteps(4.0, 1.0, 10)])


def test_a_shop_stops_at_its_budget() -> None:
    rows = list(promises.budget_rows(4.0))
    assert [row[3] for row in rows] == ["50", "50", "50", "50", "0"]
    spent = [float(row[5].split(",")[0]) for row in rows]
    assert spent == sorted(spent) and spent[3] == spent[4] and 3.9 <= spent[4] <= 4.0
