"""How long texts may be, and how many tokens one pass takes."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.ranges import require

_LOG = logging.getLogger(__name__)
# Of a pass, where the settings leave it open.
BATCH_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """Bounds in tokens.

    Prompts keep their last `max_prompt_tokens`, replies their first `max_reply_tokens`. A pass over
    the base holds at most `batch_tokens`, or one row that alone exceeds it; None is `BATCH_TOKENS`, but for
    fine-tuning, whose passes are sized by memory: on a GPU by what a host has measured, on a CPU by the base's shape.

    Raises:
        ConfigError: a limit below 1.
    """

    max_prompt_tokens: int = 256
    max_reply_tokens: int = 512
    batch_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_prompt_tokens", "max_reply_tokens"):
            require(getattr(self, name) >= 1, f"end_model.{name}", getattr(self, name), "1 or more")
        tokens = self.batch_tokens
        require(tokens is None or tokens >= 1, "end_model.batch_tokens", tokens, "1 or more, or null")

    @property
    def pass_tokens(self) -> int:
        """Tokens of a pass, where nothing is measured."""
        return BATCH_TOKENS if self.batch_tokens is None else self.batch_tokens


def shortened(limits: TokenLimits, positions: int, path: str) -> TokenLimits:
    """The limits within a base's positions: prompts keep theirs, replies get what is left, which is logged.

    Raises:
        ConfigError: prompts alone take them all.
    """
    left = positions - limits.max_prompt_tokens
    if left < 1:
        raise ConfigError(
            f"end_model.max_prompt_tokens={limits.max_prompt_tokens} leaves no reply: the end model {path} has "
            f"{positions} positions. Lower it below that"
        )
    if left >= limits.max_reply_tokens:
        return limits
    _LOG.warning("%s has %d positions: replies are learned up to %d tokens", path, positions, left)
    return replace(limits, max_reply_tokens=left)
