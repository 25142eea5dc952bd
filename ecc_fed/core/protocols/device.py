"""The shops of one host, as whoever sets the rounds sees them."""

from __future__ import annotations

from typing import Literal, Protocol

from ecc_fed.core.records import AdapterState, EvaluationReport, TrainReport


class Device(Protocol):
    """The shops of one host. Each call concerns one shop and persists that shop's state whole or not at all."""

    shop_ids: tuple[str, ...]

    def train(self, shop_id: str, server_round: int, incoming: AdapterState | None) -> TrainReport:
        """One round of evolution: serve, judge, label, fine-tune, remember.

        `incoming` is the server's adapter; None means the shop goes on with its own (or, in its
        first round, with a fresh one).
        """
        ...

    def evaluate(
        self, shop_id: str, server_round: int, incoming: AdapterState | None, phase: Literal["base", "final"]
    ) -> EvaluationReport:
        """Answers and scores the shop's test pairs; rows are kept with the shop's state.

        `phase="base"` evaluates the bare base; `phase="final"` evaluates `incoming`, or the
        shop's own adapter if `incoming` is None.
        """
        ...
