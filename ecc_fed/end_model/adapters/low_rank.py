"""Low-rank pairs beside linear layers: LoRA (Hu et al. 2021), rsLoRA (Kalajdzievski 2023), DoRA (Liu et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ecc_fed.core.aggregation import adapter_rank
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.frozen_part import frozen_part, frozen_rank, own_part, whole
from ecc_fed.core.ranges import require
from ecc_fed.core.records import AdapterState
from ecc_fed.end_model.adapters.names import FROZEN_FILE, WEIGHTS_FILE


@dataclass(frozen=True, slots=True)
class Lora:
    """W + (lora_alpha / rank) B A. `target_modules` is "all-linear" or module names such as "q_proj".

    Raises:
        ConfigError: a value out of range.
    """

    method: ClassVar[str] = "lora"
    # Whether the adapter is its pairs A and B and nothing else.
    pairs_alone: ClassVar[bool] = True
    # Positions that it takes before every text.
    virtual_tokens: ClassVar[int] = 0

    rank: int = 8
    lora_alpha: float = 32.0
    lora_dropout: float = 0.1
    target_modules: str | Sequence[str] = "all-linear"

    def __post_init__(self) -> None:
        require(self.rank >= 1, "adapter.rank", self.rank, "1 or more")
        require(self.lora_alpha > 0, "adapter.lora_alpha", self.lora_alpha, "above 0")
        require(0 <= self.lora_dropout < 1, "adapter.lora_dropout", self.lora_dropout, "0 up to, not including, 1")
        if isinstance(self.target_modules, str):
            if self.target_modules != "all-linear":
                raise ConfigError(
                    f"adapter.target_modules={self.target_modules!r} is neither all-linear nor a list such as "
                    "[q_proj, v_proj]"
                )
        elif not self.target_modules:
            raise ConfigError("adapter.target_modules is empty; name at least one module, or take all-linear")
        else:
            object.__setattr__(self, "target_modules", tuple(self.target_modules))  # a list from a file

    @property
    def scale(self) -> float:
        """What B A is multiplied by, at this rank."""
        return self.scale_at(self.rank)

    def scale_at(self, rank: int) -> float:
        """What B A of an adapter of `rank` is multiplied by."""
        return self.lora_alpha / rank

    def peft_words(self) -> dict[str, Any]:
        """The settings in peft's words; all else is left to peft."""
        modules = self.target_modules
        return {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "r": self.rank,
            "lora_alpha": self.lora_alpha,
            "lora_dropout": self.lora_dropout,
            "target_modules": modules if isinstance(modules, str) else list(modules),
            "use_dora": False,
            "use_rslora": False,
            "bias": "none",
        }

    def stored_words(self, state: AdapterState) -> dict[str, Any]:
        """What peft's config file holds beside this adapter: the rank of its pairs as they are stored, and their scale.

        The modules go by name: "all-linear" would depend on the reader's own idea of it.
        """
        names = sorted({name.split(".lora_")[0].rsplit(".", 1)[-1] for name in own_part(state)})
        own = adapter_rank(state) or self.rank
        rank = own + frozen_rank(state)
        alpha = self.lora_alpha * self.scale_at(own) / self.scale_at(rank)
        return {**self.peft_words(), "r": rank, "lora_alpha": alpha, "target_modules": names}

    def stored_tensors(self, state: AdapterState) -> dict[str, AdapterState]:
        """The tensors of every file that keeps this adapter.

        peft's file holds the whole of it, a frozen part behind its own rows; ours beside it tells that part.
        """
        pairs = whole(state, self.scale_at(adapter_rank(state) or self.rank))
        frozen = frozen_part(state)
        return {WEIGHTS_FILE: pairs, **({FROZEN_FILE: frozen} if frozen else {})}


@dataclass(frozen=True, slots=True)
class RsLora(Lora):
    """Rank-stabilized: B A is scaled by lora_alpha / sqrt(rank), which lets higher ranks learn."""

    method: ClassVar[str] = "rslora"

    def scale_at(self, rank: int) -> float:
        """What B A of an adapter of `rank` is multiplied by."""
        return float(self.lora_alpha / rank**0.5)

    def peft_words(self) -> dict[str, Any]:
        """The settings in peft's words."""
        return {**Lora.peft_words(self), "use_rslora": True}


@dataclass(frozen=True, slots=True)
class Dora(Lora):
    """Weight-decomposed: the columns of W + scale B A are normed, and every output has a trained magnitude."""

    method: ClassVar[str] = "dora"
    pairs_alone: ClassVar[bool] = False

    def peft_words(self) -> dict[str, Any]:
        """The settings in peft's words."""
        return {**Lora.peft_words(self), "use_dora": True}
