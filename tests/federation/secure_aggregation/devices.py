"""The fake device with a side in secure aggregation, whose shops fail where they are told to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ecc_fed.federation.limits import ReplyLimits
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import FederationResult
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.privacy.secure_aggregation.messages import Stage
from ecc_fed.privacy.secure_aggregation.participant import Participant
from ecc_fed.privacy.secure_aggregation.settings import SecureAggregationSettings
from ecc_fed.runs.federation import run_federation
from tests.federation.fakes import FakeDevice, aggregated

SECURE = SecureAggregationSettings(enabled=True, min_shops=2)
MOST = 100  # examples


@dataclass(frozen=True, slots=True)
class Failing(Participant):
    """Says nothing more from a stage on."""

    stage: Stage = "unmask"

    def _fail(self, stage: Stage) -> None:
        if stage == self.stage:
            raise RuntimeError(f"no power in stage {stage}")

    def public_keys(self, session, server_round):
        self._fail("keys")
        return Participant.public_keys(self, session, server_round)

    def shares(self, roster):
        self._fail("shares")
        return Participant.shares(self, roster)

    def masked(self, *arguments):
        self._fail("train")
        return Participant.masked(self, *arguments)

    def reveal(self, ending):
        self._fail("unmask")
        return Participant.reveal(self, ending)


class SecureDevice(FakeDevice):
    """`fails` says by shop in which stage; `weights` are the shops' examples, where not the fake's own."""

    def __init__(
        self,
        shop_ids: Sequence[str],
        folder: Path,
        settings: SecureAggregationSettings = SECURE,
        fails: Mapping[str, Stage] | None = None,
        weights: Mapping[str, int] | None = None,
        uniform: bool = False,
    ) -> None:
        super().__init__(tuple(shop_ids))
        self.folder, self.secure, self.uniform = folder, settings, uniform
        self.fails = {} if fails is None else fails
        self.weights = weights or {}
        self.sent: dict[tuple[int, str], tuple[dict[str, np.ndarray], int]] = {}

    def participant(self, shop_id: str) -> Participant | None:
        arguments = self.secure, shop_id, self.folder / shop_id, 7, self.uniform
        stage = self.fails.get(shop_id)
        return Participant(*arguments) if stage is None else Failing(*arguments, stage=stage)

    def train(self, shop_id, server_round, incoming, exchange, control=None, public=None):
        update = super().train(shop_id, server_round, incoming, exchange, control, public)
        update = replace(update, num_examples=self.weights.get(shop_id, update.num_examples))
        self.sent[server_round, shop_id] = update.adapter, update.num_examples
        return update


def secure_plan(server_rounds: int = 1, *parts, settings: SecureAggregationSettings = SECURE) -> FederationPlan:
    """`aggregated`, masked."""
    plan = aggregated(server_rounds, *parts, evaluates_base=False)
    return replace(plan, limits=ReplyLimits(max_examples=MOST), secure=settings)


def play(plan: FederationPlan, device: FakeDevice, **arguments) -> FederationResult:
    """The plan's rounds in this process."""
    return run_federation(plan, list(device.shop_ids), lambda _: device, InProcessHosts(), **arguments)
