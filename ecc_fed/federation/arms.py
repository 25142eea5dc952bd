"""The arms of a run: who exchanges when. A user's own is one more class like these, and a YAML file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ecc_fed.core.protocols import Agreement
from ecc_fed.core.ranges import require, require_number
from ecc_fed.core.records import QuerySource
from ecc_fed.federation.agreement.medoid import Medoid


@dataclass(frozen=True)
class Frozen:
    """The frozen base answers; nothing is learned, however many rounds the run has."""

    server_rounds: int
    name: str = "none"
    evaluates_base: bool = True
    evolves: ClassVar[bool] = False
    trains: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "server_rounds", 0)

    def starts_from_server(self, server_round: int) -> bool:
        """The server holds nothing."""
        return False

    def uploads(self, server_round: int) -> bool:
        """No adapter leaves a shop."""
        return False


@dataclass(frozen=True)
class Local:
    """Each shop evolves by itself; no server.

    Without `trains` it gathers experience alone: what a way of answering by own examples makes of it.
    """

    server_rounds: int
    name: str = "local"
    evaluates_base: bool = True
    trains: bool = True
    evolves: ClassVar[bool] = True

    def starts_from_server(self, server_round: int) -> bool:
        """The server holds nothing."""
        return False

    def uploads(self, server_round: int) -> bool:
        """No adapter leaves a shop."""
        return False


@dataclass(frozen=True)
class Centralized:
    """All dialogues lie on one device, which trains one adapter on them: no server, and nothing private."""

    server_rounds: int
    name: str = "centralized"
    evaluates_base: bool = True
    evolves: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    pools: ClassVar[bool] = True

    def starts_from_server(self, server_round: int) -> bool:
        """The server holds nothing."""
        return False

    def uploads(self, server_round: int) -> bool:
        """No adapter leaves the pool."""
        return False


@dataclass(frozen=True)
class Aggregated:
    """In every round each shop starts from what the server sends, and sends its update back."""

    server_rounds: int
    name: str = "aggregated"
    evaluates_base: bool = True
    evolves: ClassVar[bool] = True
    trains: ClassVar[bool] = True

    def starts_from_server(self, server_round: int) -> bool:
        """The final evaluation included."""
        return True

    def uploads(self, server_round: int) -> bool:
        """In every round."""
        return True


@dataclass(frozen=True)
class Personalized:
    """Aggregated, then in the last `personal_rounds` each shop goes on by itself from the last aggregate.

    Raises:
        ConfigError: `personal_rounds` below 0 or above the run's rounds.
    """

    server_rounds: int
    personal_rounds: int
    name: str = "personalized"
    evaluates_base: bool = True
    evolves: ClassVar[bool] = True
    trains: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self.personal_rounds >= 0, "arm.personal_rounds", self.personal_rounds, "0 or more rounds")
        most = f"at most evolution.server_rounds={self.server_rounds}"
        require(self.personal_rounds <= self.server_rounds, "arm.personal_rounds", self.personal_rounds, most)

    def starts_from_server(self, server_round: int) -> bool:
        """As long as updates still go up."""
        return self.uploads(server_round)

    def uploads(self, server_round: int) -> bool:
        """In all rounds but the personal ones."""
        return server_round <= self.server_rounds - self.personal_rounds


@dataclass(frozen=True)
class Distilled:
    """Shops and server teach each other by replies to public queries; no adapter ever leaves a shop.

    Each shop evolves by itself, and then answers the queries. The server makes one agreed reply to each of them and
    sends these down, and in the next round every shop trains on a share of them beside its own experience. After FedMKT
    (Fan et al. 2024, arXiv 2406.02224) and FedCoLLM (arXiv 2411.11707), whose models teach each other by logits on a
    public set; texts need no common tokenizer, so that end models of different kinds could take part. What those have
    besides is not here: the server has no model of its own. What it knows is which of the shops' replies is most like
    all of them.

    After the last round nobody would learn from replies, so none are asked for; without a share there is nothing to
    send at all, and the arm is `Local`.

    Args:
        server_rounds: of the run.
        public_share: of the examples that a shop trains on, so many are agreed replies, 0 to 1.
        queries: where the public queries come from.
        agreement: how replies become one.
        name: what reports call it.
        evaluates_base: whether the bare base is evaluated.

    Raises:
        ConfigError: a share out of range.
    """

    server_rounds: int
    public_share: float = 0.2
    queries: QuerySource = field(default_factory=QuerySource)
    agreement: Agreement = field(default_factory=Medoid)
    name: str = "distilled"
    evaluates_base: bool = True
    evolves: ClassVar[bool] = True
    trains: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_number("arm.public_share", self.public_share, 0, 1)

    def starts_from_server(self, server_round: int) -> bool:
        """The server holds no adapter."""
        return False

    def uploads(self, server_round: int) -> bool:
        """No adapter leaves a shop."""
        return False

    def asks(self, server_round: int) -> bool:
        """In all rounds but the last."""
        return self.public_share > 0 and server_round < self.server_rounds
