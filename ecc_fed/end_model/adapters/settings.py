"""What a shop's adapter is: a method and its settings. No torch here, so that configs are checked quickly.

| method | what a shop trains | source |
|---|---|---|
| `lora` | W + (lora_alpha / rank) B A | Hu et al. 2021, Eq. 3 |
| `rslora` | W + (lora_alpha / sqrt(rank)) B A | Kalajdzievski 2023 |
| `dora` | m (W + (lora_alpha / rank) B A) / norm of its rows; m starts at W's norms | Liu et al. 2024, Eq. 5 |
| `p_tuning_v2` | keys and values of virtual tokens in every layer | Liu et al. 2022 |
| `prefix_tuning` | an embedding and an MLP that make those keys and values | Li & Liang 2021, Sec. 4.3 |

| symbol | argument | range | paper's Table IV |
|---|---|---|---|
| r | `rank` | >= 1 | 8 |
| alpha | `lora_alpha` | > 0 | 32 |
| p | `lora_dropout` | [0, 1) | 0.1 |
| | `num_virtual_tokens` | >= 1 | 128 |
| k | `encoder_hidden_size`, the MLP's width | >= 1 | not given; 512 in Li & Liang |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ecc_fed.core.errors import ConfigError

LORA_METHODS = ("lora", "rslora", "dora")
PREFIX_METHODS = ("prefix_tuning", "p_tuning_v2")
METHODS = (*LORA_METHODS, *PREFIX_METHODS)
_LORA_ARGUMENTS = ("rank", "lora_alpha", "lora_dropout")
_ARGUMENTS = {
    **dict.fromkeys(LORA_METHODS, _LORA_ARGUMENTS),
    "prefix_tuning": ("num_virtual_tokens", "encoder_hidden_size"),
    "p_tuning_v2": ("num_virtual_tokens",),
}


def _require(condition: bool, name: str, value: object, expected: str) -> None:
    if not condition:
        raise ConfigError(f"adapter.{name}={value} is out of range: {expected}")


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """Low-rank pairs beside linear layers. `target_modules` is "all-linear" or module names such as "q_proj".

    Raises:
        ConfigError: a value out of range.
    """

    rank: int = 8
    lora_alpha: float = 32.0
    lora_dropout: float = 0.1
    target_modules: str | tuple[str, ...] = "all-linear"
    method: str = "lora"

    def __post_init__(self) -> None:
        _require(self.method in LORA_METHODS, "method", self.method, f"one of {', '.join(LORA_METHODS)}")
        _require(self.rank >= 1, "rank", self.rank, "1 or more")
        _require(self.lora_alpha > 0, "lora_alpha", self.lora_alpha, "above 0")
        _require(0 <= self.lora_dropout < 1, "lora_dropout", self.lora_dropout, "0 up to, not including, 1")
        if isinstance(self.target_modules, str) and self.target_modules != "all-linear":
            raise ConfigError(
                f"adapter.target_modules={self.target_modules!r} is neither all-linear nor a list such as "
                "[q_proj, v_proj]"
            )
        if not self.target_modules:
            raise ConfigError("adapter.target_modules is empty; name at least one module, or take all-linear")

    @classmethod
    def of(
        cls,
        rank: int,
        lora_alpha: float,
        lora_dropout: float,
        target_modules: str | Sequence[str],
        method: str = "lora",
    ) -> LoraSettings:
        """Settings from a config's plain values."""
        names = target_modules if isinstance(target_modules, str) else tuple(target_modules)
        return cls(rank, float(lora_alpha), lora_dropout, names, method)

    @property
    def scale(self) -> float:
        """What B A is multiplied by, at this rank."""
        return self.scale_at(self.rank)

    def scale_at(self, rank: int) -> float:
        """What B A of an adapter of `rank` is multiplied by."""
        return self.lora_alpha / (rank**0.5 if self.method == "rslora" else rank)


@dataclass(frozen=True, slots=True)
class PrefixSettings:
    """Keys and values put before every layer's own, trained as they are or through an MLP.

    `encoder_hidden_size` is the MLP's width; P-Tuning v2 has none.

    Raises:
        ConfigError: a value out of range.
    """

    method: str = "p_tuning_v2"
    num_virtual_tokens: int = 128
    encoder_hidden_size: int | None = None

    def __post_init__(self) -> None:
        _require(self.method in PREFIX_METHODS, "method", self.method, f"one of {', '.join(PREFIX_METHODS)}")
        _require(self.num_virtual_tokens >= 1, "num_virtual_tokens", self.num_virtual_tokens, "1 or more")
        width = self.encoder_hidden_size
        if self.method == "p_tuning_v2":
            _require(width is None, "encoder_hidden_size", width, "P-Tuning v2 has no MLP; take prefix_tuning")
        else:
            _require(width is not None and width >= 1, "encoder_hidden_size", width, "1 or more")

    @property
    def projected(self) -> bool:
        """Whether an MLP makes the prefix."""
        return self.method == "prefix_tuning"


AdapterSettings = LoraSettings | PrefixSettings


def adapter_settings(
    method: str = "lora",
    rank: int | None = None,
    lora_alpha: float | None = None,
    lora_dropout: float | None = None,
    target_modules: str | Sequence[str] = "all-linear",
    num_virtual_tokens: int | None = None,
    encoder_hidden_size: int | None = None,
) -> AdapterSettings:
    """The settings of `method`; None is the method's default.

    `target_modules` belongs to the base, so a prefix, which has no use for it, does not mind it.

    Raises:
        ConfigError: an unknown method, a value out of range, or one that the method does not have.
    """
    if method not in METHODS:
        raise ConfigError(f"adapter.method={method} is unknown: take one of {', '.join(METHODS)}")
    values: dict[str, Any] = {
        "rank": rank,
        "lora_alpha": lora_alpha,
        "lora_dropout": lora_dropout,
        "num_virtual_tokens": num_virtual_tokens,
        "encoder_hidden_size": encoder_hidden_size,
    }
    given = {name: value for name, value in values.items() if value is not None}
    for name, value in given.items():
        if name not in _ARGUMENTS[method]:
            raise ConfigError(
                f"adapter.{name}={value} is no setting of {method}, which has {', '.join(_ARGUMENTS[method])}: "
                f"leave it out, or take another adapter"
            )
    if method in LORA_METHODS:
        defaults = {"rank": 8, "lora_alpha": 32.0, "lora_dropout": 0.1}
        return LoraSettings.of(**{**defaults, **given}, target_modules=target_modules, method=method)
    if method == "prefix_tuning":
        given = {"encoder_hidden_size": 512, **given}
    return PrefixSettings(method, **given)
