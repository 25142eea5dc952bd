from typing import Any

import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.end_model.settings import EndModelSettings


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"quantization": "int3"}, r"end_model\.quantization=int3 is out of range: one of none, bf16, int8, nf4"),
        ({"device": "tpu"}, r"end_model\.device=tpu is out of range: one of auto, cpu, cuda"),
        (
            {"sha256": "a" * 63},
            r"end_model\.sha256=a+ is out of range: 64 hexadecimal digits in small letters, or null",
        ),
        ({"max_prompt_tokens": 0}, r"end_model\.max_prompt_tokens=0 is out of range: 1 or more"),
    ],
)
def test_a_base_that_cannot_be_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EndModelSettings(**{"path": "somewhere", **changed})
