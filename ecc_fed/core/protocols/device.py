"""The shops of one host, as whoever sets the rounds sees them."""

from __future__ import annotations

from typing import Literal, Protocol

from ecc_fed.core.aggregation import AdapterUpdate, Exchange, Shapes
from ecc_fed.core.records import AdapterState, EvaluationReport, PublicSet


class Device(Protocol):
    """The shops of one host. Each call concerns one shop and persists that shop's state whole or not at all."""

    shop_ids: tuple[str, ...]

    def adapter_shapes(self) -> Shapes:
        """Names and shapes of a fresh adapter, against which the server checks what shops send."""
        ...

    def train(
        self,
        shop_id: str,
        server_round: int,
        incoming: AdapterState | None,
        exchange: Exchange,
        control: AdapterState | None = None,
        public: PublicSet | None = None,
    ) -> AdapterUpdate:
        """One round of evolution: serve, judge, label, fine-tune, remember.

        `incoming` are the server's tensors, which take the place of the shop's own of the same names;
        None means the shop goes on with its own (or, in its first round, with a fresh adapter). The
        update holds what `exchange.up` names, after the device's update transforms. `control` is the
        server's control variate, where `exchange.control` has the shop keep one. Of a `public` set the agreed replies
        are learned from beside the shop's own experience, and its queries answered, where it asks for that.
        """
        ...

    def evaluate(
        self, shop_id: str, server_round: int, incoming: AdapterState | None, phase: Literal["base", "final"]
    ) -> EvaluationReport:
        """Answers and scores the shop's test pairs; rows are kept with the shop's state.

        `phase="base"` evaluates the bare base; `phase="final"` evaluates the shop's own adapter, with
        `incoming` in the place of the tensors that it names.
        """
        ...
