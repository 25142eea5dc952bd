import math

import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.ranges import require, require_number, require_one_of


def test_a_value_out_of_range_is_named_with_its_value_and_its_range() -> None:
    require(True, "finetune.steps", 3, "0 or more")
    with pytest.raises(ConfigError, match=r"^finetune\.steps=-1 is out of range: 0 or more\.$"):
        require(False, "finetune.steps", -1, "0 or more")


@pytest.mark.parametrize("value", [0, 1, 0.5, 0.0, 1.0])
def test_both_ends_of_a_range_belong_to_it(value: float) -> None:
    require_number("share", value, 0, 1)


@pytest.mark.parametrize("value", [-1e-9, 1 + 1e-9, math.nan, math.inf, -math.inf, True, "1", None, [1]])
def test_no_number_in_range_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=r"share=.* is out of range: a number from 0 to 1"):
        require_number("share", value, 0, 1)


def test_a_range_may_be_open_above_but_not_endless() -> None:
    require_number("seconds", 1e300, 0.5)
    for value in (0.49, math.inf):
        with pytest.raises(ConfigError, match=r"seconds=.* is out of range: a number from 0\.5\."):
            require_number("seconds", value, 0.5)


def test_another_word_is_refused_with_those_that_would_do() -> None:
    require_one_of("end_model.device", "cpu", ("auto", "cpu"))
    with pytest.raises(ConfigError, match=r"^end_model\.device=tpu is out of range: one of auto, cpu\.$"):
        require_one_of("end_model.device", "tpu", ("auto", "cpu"))
