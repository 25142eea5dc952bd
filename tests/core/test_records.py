"""Settings that check themselves, wherever they are made."""

from typing import Any

import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Decoding, FineTuneSettings


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steps": -1}, r"finetune\.steps=-1 is out of range: 0 or more"),
        ({"batch_size": 0}, r"finetune\.batch_size=0 is out of range: 1 or more"),
        ({"learning_rate": 0.0}, r"finetune\.learning_rate=0\.0 is out of range: between 0 and 1"),
        ({"learning_rate": 1.0}, r"finetune\.learning_rate=1\.0 is out of range"),
        ({"learning_rate": float("nan")}, r"finetune\.learning_rate=nan is out of range"),
        ({"decay_steps": 0}, r"decay_steps=0 is out of range: 1 or more"),
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
    FineTuneSettings(steps=0, batch_size=1, decay_steps=1, weight_decay=0.0, betas=(0.0, 0.999))
    Decoding(max_new_tokens=1, top_p=1.0)
