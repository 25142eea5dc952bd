"""Settings that check themselves, wherever they are made."""

from dataclasses import replace
from typing import Any

import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.gradient_rule import ClippedGradient
from ecc_fed.core.records import Decoding, EgressEntry, FineTuneJob, FineTuneSettings


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steps": -1}, r"finetune\.steps=-1 is out of range: 0 or more"),
        ({"batch_size": 0}, r"finetune\.batch_size=0 is out of range: 1 or more"),
        ({"learning_rate": 0.0}, r"finetune\.learning_rate=0\.0 is out of range: between 0 and 1"),
        ({"learning_rate": 1.0}, r"finetune\.learning_rate=1\.0 is out of range"),
        ({"learning_rate": float("nan")}, r"finetune\.learning_rate=nan is out of range"),
        ({"clipping_norm": 0.0}, r"finetune\.clipping_norm=0\.0 is out of range: above 0"),
        ({"weight_decay": -0.1}, r"finetune\.weight_decay=-0\.1 is out of range"),
        ({"betas": (0.9, 1.0)}, r"finetune\.betas=\(0\.9, 1\.0\) is out of range"),
        ({"betas": (-0.1, 0.9)}, r"finetune\.betas=.* is out of range"),
        ({"epsilon": 0.0}, r"finetune\.epsilon=0\.0 is out of range"),
    ],
)
def test_fine_tuning_out_of_range_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FineTuneSettings(**{"steps": 1, **changed})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"max_new_tokens": 0}, r"decoding\.max_new_tokens=0 is out of range: 1 or more"),
        ({"top_p": 0.0}, r"decoding\.top_p=0\.0 is out of range: above 0, at most 1"),
        ({"top_p": 1.5}, r"decoding\.top_p=1\.5 is out of range"),
        ({"temperature": 0.0}, r"decoding\.temperature=0\.0 is out of range: above 0 \(greedy: sample=false\)"),
    ],
)
def test_decoding_out_of_range_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Decoding(**changed)


def test_the_ends_of_the_ranges_are_in_them() -> None:
    FineTuneSettings(steps=0, batch_size=1, weight_decay=0.0, betas=(0.0, 0.999))
    Decoding(max_new_tokens=1, top_p=1.0)


def job(decay_steps: int | None = None, **settings: Any) -> FineTuneJob:
    return FineTuneJob({}, None, (), FineTuneSettings(**{"steps": 4, **settings}), 0, decay_steps=decay_steps)


def test_a_job_clips_as_its_settings_say_unless_it_has_a_rule_of_its_own() -> None:
    plain = job(clipping_norm=0.3)
    assert plain.rule == ClippedGradient(0.3)
    own = ClippedGradient(2.0)
    assert replace(plain, gradient=own).rule is own


@pytest.mark.parametrize(("num_bytes", "server_round"), [(-1, 0), (0, -1), (-1, -1)])
def test_what_left_a_shop_is_counted_from_0(num_bytes: int, server_round: int) -> None:
    EgressEntry("a", 0, "aggregator", "up", "adapter", 0)
    with pytest.raises(
        ValueError, match=f"^has num_bytes {num_bytes} and server_round {server_round}: both count from 0$"
    ):
        EgressEntry("a", server_round, "aggregator", "up", "adapter", num_bytes)


def test_a_decay_over_no_steps_is_refused() -> None:
    assert job(1).decay_steps == 1
    with pytest.raises(ConfigError, match="decay_steps=0 is out of range: 1 or more"):
        job(0)
