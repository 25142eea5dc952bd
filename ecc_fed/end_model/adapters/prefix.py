"""Keys and values put before every layer's own: P-Tuning v2 (Liu et al. 2022), Prefix-Tuning (Li & Liang 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ecc_fed.core.ranges import require
from ecc_fed.core.records import AdapterState, Array
from ecc_fed.end_model.adapters.names import BAKED, EMBEDDING, ENCODER_FILE, TRANSFORM, WEIGHTS_FILE


@dataclass(frozen=True, slots=True)
class PTuningV2:
    """A prefix that is trained as it is.

    Raises:
        ConfigError: a value out of range.
    """

    method: ClassVar[str] = "p_tuning_v2"
    pairs_alone: ClassVar[bool] = False

    num_virtual_tokens: int = 128

    def __post_init__(self) -> None:
        require(self.num_virtual_tokens >= 1, "adapter.num_virtual_tokens", self.num_virtual_tokens, "1 or more")

    def scale_at(self, rank: int) -> float:
        """A prefix has no B A to be multiplied."""
        return 1.0

    @property
    def virtual_tokens(self) -> int:
        """Positions that it takes before every text."""
        return self.num_virtual_tokens

    def peft_words(self) -> dict[str, Any]:
        """The settings in peft's words; all else is left to peft."""
        return {
            "peft_type": "PREFIX_TUNING",
            "task_type": "CAUSAL_LM",
            "num_virtual_tokens": self.num_virtual_tokens,
            "prefix_projection": False,
            "encoder_hidden_size": None,
        }

    def stored_words(self, state: AdapterState) -> dict[str, Any]:
        """What peft's config file holds beside this adapter."""
        return self.peft_words()

    def stored_tensors(self, state: AdapterState) -> dict[str, AdapterState]:
        """The tensors of every file that keeps this adapter."""
        return {WEIGHTS_FILE: {BAKED: state[EMBEDDING]}}


@dataclass(frozen=True, slots=True)
class PrefixTuning(PTuningV2):
    """A prefix that an MLP of width `encoder_hidden_size` makes of trained embeddings.

    peft's file holds only the prefix that the MLP makes, from which nobody can train on, so the
    MLP is kept beside it.

    Raises:
        ConfigError: a value out of range.
    """

    method: ClassVar[str] = "prefix_tuning"

    encoder_hidden_size: int = 512

    def __post_init__(self) -> None:
        PTuningV2.__post_init__(self)
        require(self.encoder_hidden_size >= 1, "adapter.encoder_hidden_size", self.encoder_hidden_size, "1 or more")

    def peft_words(self) -> dict[str, Any]:
        """The settings in peft's words; all else is left to peft."""
        words = {"prefix_projection": True, "encoder_hidden_size": self.encoder_hidden_size}
        return {**PTuningV2.peft_words(self), **words}

    def stored_tensors(self, state: AdapterState) -> dict[str, AdapterState]:
        """The tensors of every file that keeps this adapter."""
        return {WEIGHTS_FILE: {BAKED: baked_prefix(state)}, ENCODER_FILE: state}


def baked_prefix(state: AdapterState) -> Array:
    """What the MLP makes: (virtual tokens, 2 layers key-value width), fp32.

    tanh(E W0^T + b0) W2^T + b2 (Li & Liang 2021, Sec. 4.3).
    """
    w0, b0, w2, b2 = (state[name] for name in TRANSFORM)
    prefix: Array = np.tanh(state[EMBEDDING] @ w0.T + b0) @ w2.T + b2
    return prefix
