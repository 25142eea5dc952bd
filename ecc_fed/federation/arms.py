"""What one arm asks of the server, round by round."""

from __future__ import annotations

from dataclasses import dataclass

from ecc_fed.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ArmPlan:
    """The server rounds of one run.

    Args:
        server_rounds: all rounds of the run, 0 or more.
        aggregate: adapters go up and their mean comes down (arms `aggregated` and `personalized`);
            otherwise no adapter ever leaves a shop (arms `none` and `local`).
        personal_rounds: the last so many rounds each shop goes on from the last aggregate on its
            own and uploads nothing (arm `personalized`); at most `server_rounds`.
        evaluate_base: evaluates the bare base before the first round.

    Raises:
        ConfigError: a number out of range, or personal rounds without aggregation.
    """

    server_rounds: int
    aggregate: bool = False
    personal_rounds: int = 0
    evaluate_base: bool = True

    def __post_init__(self) -> None:
        if self.server_rounds < 0:
            raise ConfigError(f"server_rounds={self.server_rounds} is out of range: 0 or more.")
        if not 0 <= self.personal_rounds <= self.server_rounds:
            raise ConfigError(
                f"personal_rounds={self.personal_rounds} is out of range: 0 to server_rounds={self.server_rounds}."
            )
        if self.personal_rounds and not self.aggregate:
            raise ConfigError(
                f"personal_rounds={self.personal_rounds} needs aggregate=true: without aggregation every round "
                "is the shop's own already. Set personal_rounds=0."
            )

    @property
    def aggregated_rounds(self) -> int:
        """How many of the first rounds upload and average adapters."""
        return self.server_rounds - self.personal_rounds if self.aggregate else 0
