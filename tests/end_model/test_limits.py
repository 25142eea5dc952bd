import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.end_model.limits import TokenLimits


@pytest.mark.parametrize("name", ["max_prompt_tokens", "max_reply_tokens", "batch_tokens"])
def test_a_limit_below_1_is_refused_by_name(name):
    assert getattr(TokenLimits(**{name: 1}), name) == 1
    with pytest.raises(ConfigError, match=rf"end_model\.{name}=0 is out of range: 1 or more"):
        TokenLimits(**{name: 0})
