from typing import Any

import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import FineTuneSettings
from ecc_fed.evolution.settings import EvolutionSettings, LoopSettings, WarmStartSettings

SHARES = ("pseudo_share", "human_share", "reference_rate", "gate_relevance", "route_confidence", "explore_rate")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"server_rounds": -1}, r"evolution\.server_rounds=-1 is out of range: 0 or more"),
        ({"cycles": 0}, r"evolution\.cycles=0 is out of range: 1 or more"),
        *(({name: 1.01}, rf"evolution\.{name}=1\.01 is out of range: 0 to 1") for name in SHARES),
        *(({name: -0.01}, rf"evolution\.{name}=-0\.01 is out of range: 0 to 1") for name in SHARES),
        ({"reference": "never"}, r"evolution\.reference=never is out of range: one of always, sampled, gated, routed"),
        ({"examples": "all"}, r"evolution\.examples=all is out of range: one of latest, nearest"),
        ({"teacher_examples": -1}, r"evolution\.teacher_examples=-1 is out of range: 0 or more"),
        ({"nearest_examples": -1}, r"evolution\.nearest_examples=-1 is out of range: 0 or more"),
    ],
)
def test_a_loop_out_of_range_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EvolutionSettings(**changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"generated_share": -0.01}, r"evolution\.warm_start\.generated_share=-0\.01 is out of range: 0 to 1"),
        ({"generated_share": 1.01}, r"evolution\.warm_start\.generated_share=1\.01 is out of range: 0 to 1"),
        ({"steps": -1}, r"evolution\.warm_start\.steps=-1 is out of range: 0 or more"),
    ],
)
def test_a_warm_start_out_of_range_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        WarmStartSettings(**changed)


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_the_ends_of_the_ranges_are_in_them(end: float) -> None:
    EvolutionSettings(0, 1, **dict.fromkeys(SHARES, end), teacher_examples=0, nearest_examples=0)
    WarmStartSettings(generated_share=end, steps=0)


def test_a_learning_rate_decays_over_the_steps_of_all_cycles_of_all_rounds() -> None:
    loop = LoopSettings(EvolutionSettings(server_rounds=2, cycles=3), FineTuneSettings(steps=5))
    assert loop.decay_steps == 2 * 3 * 5
