"""What serves and trains the shops' adapters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ecc_fed.core.records import (
    AdapterState,
    FineTuneJob,
    FineTuneResult,
    Likelihood,
    LikelihoodRequest,
    MeasuredReply,
    ReplyRequest,
)


class EndModel(Protocol):
    """A resident base that serves and trains many adapters, a batch at a time.

    Results keep the order of the requests and never depend on who shares the batch.
    """

    def new_adapter(self, seed: int) -> AdapterState:
        """A fresh adapter. LoRA and its kin leave the base's output unchanged (B = 0); a prefix does not."""
        ...

    def reply(self, requests: Sequence[ReplyRequest]) -> list[list[str]]:
        """One text for every prompt of every request."""
        ...

    def measured_reply(self, requests: Sequence[ReplyRequest]) -> list[list[MeasuredReply]]:
        """The same texts, each with how sure the model was of it."""
        ...

    def fine_tune(self, jobs: Sequence[FineTuneJob]) -> list[FineTuneResult]:
        """One result for every job."""
        ...

    def likelihood(self, requests: Sequence[LikelihoodRequest]) -> list[list[Likelihood]]:
        """One likelihood for every example of every request."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` under the end model's tokenizer, without special tokens."""
        ...
