"""An end model as a shop sees it whose adapter has a lora_alpha of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ecc_fed.core.protocols import EndModel
from ecc_fed.core.records import (
    AdapterState,
    FineTuneJob,
    FineTuneResult,
    Likelihood,
    LikelihoodRequest,
    MeasuredReply,
    ReplyRequest,
)
from ecc_fed.evolution.settings import Services


@dataclass(frozen=True)
class AtAlpha:
    """Satisfies `core.protocols.EndModel`: whatever it is asked goes on to `model` with the shop's `lora_alpha`."""

    model: EndModel
    lora_alpha: float

    @property
    def tokenizer(self) -> Any:
        """The engine's, for whoever streams."""
        return getattr(self.model, "tokenizer")  # noqa: B009 (no part of the Protocol)

    def new_adapter(self, seed: int) -> AdapterState:
        """The same at any scale: B is zero."""
        return self.model.new_adapter(seed)

    def count_tokens(self, text: str) -> int:
        """As the model."""
        return self.model.count_tokens(text)

    def reply(self, requests: Sequence[ReplyRequest]) -> list[list[str]]:
        """As the model, at the shop's scale."""
        return self.model.reply([replace(each, lora_alpha=self.lora_alpha) for each in requests])

    def measured_reply(self, requests: Sequence[ReplyRequest]) -> list[list[MeasuredReply]]:
        """As the model, at the shop's scale."""
        return self.model.measured_reply([replace(each, lora_alpha=self.lora_alpha) for each in requests])

    def fine_tune(self, jobs: Sequence[FineTuneJob]) -> list[FineTuneResult]:
        """As the model, at the shop's scale."""
        return self.model.fine_tune([replace(each, lora_alpha=self.lora_alpha) for each in jobs])

    def likelihood(self, requests: Sequence[LikelihoodRequest]) -> list[list[Likelihood]]:
        """As the model, at the shop's scale."""
        return self.model.likelihood([replace(each, lora_alpha=self.lora_alpha) for each in requests])


def at_alpha(services: Services, lora_alpha: float | None) -> Services:
    """The services of a shop with this lora_alpha; those of all where it has none of its own."""
    return services if lora_alpha is None else replace(services, end_model=AtAlpha(services.end_model, lora_alpha))
