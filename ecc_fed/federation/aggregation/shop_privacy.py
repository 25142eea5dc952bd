"""Differential privacy of whole shops, by a server that is trusted (McMahan et al. 2018; DP-FedAvg, fixed clipping).

    symbol   argument          source
    d_i                        what shop i's update moves of all that goes up, against what it was sent
    C        `clipping_norm`   d_i counts as d_i min(1, C / ||d_i||), L2 over all tensors together
    z                          found from `epsilon`, `delta` and the number of rounds
    m                          shops that count in the round

    the server's adapter moves by (1 / m) (sum_i d_i + N(0, (z C)^2))

Neighbours differ by one shop, with all its dialogues and rounds. Every round is one Gaussian release of all shops
(q = 1: that some are not drawn is not made use of), so that z is what keeps so many of them within epsilon. The same
as Flower's DifferentialPrivacyServerSideFixedClipping around FedAvg with equal weights; that one draws its noise from
numpy's global state, which no seed of a run holds, and skips a round of which one shop is missing.

Nothing else is covered: metrics that go up, the rows of the run, the shops' own adapters, what the cloud was sent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecc_fed.core.aggregation import AdapterUpdate, AggregateReport, AggregatorState
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.ranges import require_number
from ecc_fed.core.seeding import derive_rng
from ecc_fed.federation.aggregation.averaging import bounded, update_norm
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.aggregation.fedsa_lora import FedSaLora
from ecc_fed.federation.aggregation.ffa_lora import FfaLora
from ecc_fed.federation.aggregation.rolora import RoLora
from ecc_fed.federation.aggregation.start import started_from
from ecc_fed.federation.aggregation.weights import Uniform
from ecc_fed.federation.aggregation.wrapper import Wrapper
from ecc_fed.privacy.accounting import NoisySteps, noise_multiplier
from ecc_fed.privacy.accounting import epsilon as epsilon_of

# Plain means of the factors themselves: one shop moves them by at most C / m.
MEANS = (FedAvg, FfaLora, FedSaLora, RoLora)
_RELEASES = "shop_privacy.releases"


@dataclass(frozen=True, kw_only=True)
class ShopPrivacy(Wrapper):
    """A mean of bounded updates, with noise.

    Args:
        mean: one of `MEANS`, in which all shops count alike.
        adapter_seed: of the fresh adapter that every shop starts from; the noise comes of it too.
        server_rounds: how many means will be told at most.
        epsilon: of all of them together.
        delta: the chance that it fails to hold; at most one in ten times the shops of a round.
        clipping_norm: C.
        seeded_noise: noise of the run's seed, which every shop knows: for a simulation alone. False: of the system's
            entropy.

    Raises:
        ConfigError: a value out of range, a mean of another kind, a budget that no noise keeps, or opacus is missing.
    """

    adapter_seed: int
    server_rounds: int
    epsilon: float = 8.0
    delta: float = 1e-3
    clipping_norm: float = 1.0
    seeded_noise: bool = True

    def __post_init__(self) -> None:
        require_number("strategy.epsilon", self.epsilon, 1e-3)
        require_number("strategy.delta", self.delta, 1e-12, 0.5)
        require_number("strategy.clipping_norm", self.clipping_norm, 1e-6)
        if not isinstance(self.mean, MEANS):
            raise ConfigError(
                "strategy ShopPrivacy knows how far one shop moves a plain mean of factors, and not how far it moves "
                f"that of {type(self.mean).__name__}. Take a strategy.mean of "
                f"{', '.join(each.__name__ for each in MEANS)}."
            )
        if not isinstance(self.mean.weights, Uniform):
            raise ConfigError(
                f"strategy ShopPrivacy has all shops count alike, and its mean weighs by "
                f"{type(self.mean.weights).__name__}. Take strategy.mean.weights of Uniform."
            )
        if self._noise() is None:
            raise ConfigError(
                f"strategy.epsilon={self.epsilon:g}: no noise keeps {self.server_rounds} rounds within it at "
                f"strategy.delta={self.delta:g}. Take a larger epsilon or fewer evolution.server_rounds."
            )

    @property
    def single_updates(self) -> bool:
        """Bounds each."""
        return True

    def check_count(self, count: int) -> None:
        """As the mean; and refuses a delta above 1 / (10 n).

        Raises:
            ConfigError: says which would do.
        """
        super().check_count(count)
        if self.delta * 10 * count > 1:
            raise ConfigError(
                f"strategy.delta={self.delta:g} is too large for {count} shops: in more than one run of ten one of "
                f"them might lose all protection. Take strategy.delta={10.0 ** -math.ceil(math.log10(10 * count)):g}."
            )

    @property
    def noise_multiplier(self) -> float:
        """z."""
        found = self._noise()
        assert found is not None, "checked when it was made"
        return found

    def spent(self, releases: int) -> float:
        """Epsilon of so many rounds, at `delta`."""
        return epsilon_of([NoisySteps(self.noise_multiplier, 1.0, releases)], self.delta)

    def aggregate(
        self, state: AggregatorState, updates: Sequence[AdapterUpdate]
    ) -> tuple[AggregatorState, AggregateReport]:
        """The mean's own work on bounded updates, then noise on what it made of them.

        Raises:
            ConfigError: as the mean; or DoRA's magnitudes, of which the server does not know where they started.
        """
        scalars = {name: value for name, value in state.scalars.items() if name != _RELEASES}
        start = started_from(type(self).__name__, updates[0].adapter, state.adapter or {}, self.adapter_seed)
        within = [replace(update, adapter=bounded(update.adapter, start, self.clipping_norm)) for update in updates]
        after, report = self.mean.aggregate(replace(state, scalars=scalars), within)
        releases = int(state.scalars.get(_RELEASES, 0)) + 1
        rng = derive_rng(self.adapter_seed, "shop_privacy", releases) if self.seeded_noise else np.random.default_rng()
        deviation = self.noise_multiplier * self.clipping_norm / len(updates)
        adapter = dict(after.adapter or {})
        for name in sorted(start):
            noise = rng.normal(0.0, deviation, adapter[name].shape)
            adapter[name] = (adapter[name].astype(np.float64) + noise).astype(np.float32)
        flags = {
            update.shop_id: "shortened" for update in updates if update_norm(update.adapter, start) > self.clipping_norm
        }
        kept = {**after.scalars, _RELEASES: float(releases)}
        return replace(after, adapter=adapter, scalars=kept), replace(report, flags={**report.flags, **flags})

    def _noise(self) -> float | None:
        return noise_multiplier((), 1.0, max(self.server_rounds, 1), self.epsilon, self.delta)
