"""How far a run is, told stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ecc_fed.hosts.reports import HostReport

# (stage, done, total)
OnProgress = Callable[[str, int, int], None]


class Stages:
    """Tells of a run's stages. A shop counts once for each round that it takes part in and for each evaluation.

    `shops_a_round` says how many do, round by round. `finished_round` is the last one done before a run that goes on;
    None for one that starts.
    """

    def __init__(
        self,
        on_progress: OnProgress,
        num_shops: int,
        shops_a_round: Sequence[int],
        finished_round: int | None = None,
    ) -> None:
        self._on_progress = on_progress
        self._server_rounds = len(shops_a_round)
        self._total = 2 * num_shops + sum(shops_a_round)
        # The base's evaluation and the rounds of a run that goes on.
        self._done = 0 if finished_round is None else num_shops + sum(shops_a_round[:finished_round])

    def loading(self) -> None:
        """The hosts are about to load their models."""
        self._on_progress("loading the models", self._done, self._total)

    def hosts_ready(self, reports: Sequence[HostReport]) -> None:
        """The hosts have chosen how many shops run side by side."""
        hosts = "1 host" if len(reports) == 1 else f"{len(reports)} hosts"
        largest = max(reports, key=lambda report: report.shops_per_batch)
        most = largest.shops_per_batch
        shops = f"{most} shops side by side" if most > 1 else "one shop at a time"
        self._on_progress(f"{hosts}, {shops} ({largest.batch_reason})", self._done, self._total)

    def shop_done(self, phase: str, server_round: int, shop_id: str, seconds: float) -> None:
        """A shop has answered."""
        self._done += 1
        stage = f"round {server_round} of {self._server_rounds}" if phase == "train" else f"evaluating ({phase})"
        self._on_progress(stage, self._done, self._total)
