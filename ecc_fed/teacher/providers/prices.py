"""What a provider asks for a million tokens: a table in the config, one line per model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.ranges import require_number

_KEYS = ("input", "output", "cached_input")
PriceTable = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens; `cached_input` are prompt tokens found in the provider's prompt cache."""

    input: float = 0.0
    output: float = 0.0
    cached_input: float = 0.0

    def cost_usd(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> float:
        """Price of a call; `cached_tokens` are those of `input_tokens` that were cached."""
        cached = min(cached_tokens, input_tokens)
        fresh = input_tokens - cached
        return (fresh * self.input + cached * self.cached_input + output_tokens * self.output) / 1e6


def price_of(model: str, table: PriceTable | None) -> Price:
    """The model's line; without any table the model is free (your own server). `cached_input` is `input` if not given.

    Raises:
        ConfigError: the table has no line for the model, or a line that is no price.
    """
    if table is None:
        return Price()
    line = table.get(model)
    if line is None:
        name = model.replace(":", "\\:")  # as Hydra wants it on a command line
        raise ConfigError(
            f"teacher.prices has no line for the model {model} (it has {', '.join(table) or 'none'}): look its price "
            f"up and add it: '++teacher.prices={{{name}: {{input: X, output: Y}}}}' in US dollars per million tokens, "
            "or teacher.prices=null where calls are free"
        )
    if not isinstance(line, Mapping) or set(line) - set(_KEYS) or not {"input", "output"} <= set(line):
        raise ConfigError(f"teacher.prices.{model} is {line!r}: give input and output, and cached_input if it differs")
    for name, value in line.items():
        require_number(f"teacher.prices.{model}.{name}", value, 0)
    return Price(line["input"], line["output"], line.get("cached_input", line["input"]))
