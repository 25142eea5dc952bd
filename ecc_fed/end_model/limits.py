"""How long texts may be, and how many tokens one pass takes."""

from __future__ import annotations

from dataclasses import dataclass

from ecc_fed.core.ranges import require


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """Bounds in tokens.

    Prompts keep their last `max_prompt_tokens`, replies their first `max_reply_tokens`. A pass over
    the base holds at most `batch_tokens`, or one row that alone exceeds it.

    Raises:
        ConfigError: a limit below 1.
    """

    max_prompt_tokens: int = 256
    max_reply_tokens: int = 512
    batch_tokens: int = 4096

    def __post_init__(self) -> None:
        for name in ("max_prompt_tokens", "max_reply_tokens", "batch_tokens"):
            require(getattr(self, name) >= 1, f"end_model.{name}", getattr(self, name), "1 or more")
