"""What a federation runs: who exchanges when, how updates become one, what they may be, what happens on their way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ecc_fed.core.aggregation import EVERYTHING, NOTHING, Exchange, Shapes
from ecc_fed.core.errors import ConfigError, TooFewUpdates
from ecc_fed.core.protocols import Aggregator, Arm, NeedsShops, TeachesByReplies, UpdateTransform
from ecc_fed.core.records import AgreedReply, PublicSet
from ecc_fed.end_model.adapters.tensors import shapes_of_rank
from ecc_fed.federation.limits import ReplyLimits
from ecc_fed.federation.participation import Participation
from ecc_fed.privacy.secure_aggregation.quantisation import Quantisation
from ecc_fed.privacy.secure_aggregation.settings import SecureAggregationSettings


@dataclass(frozen=True, slots=True)
class FederationPlan:
    """The parts of one run's federation, which must go together.

    Raises:
        ConfigError: a transform hides single updates from an aggregator that needs them, or does not reach all that
            shops would send; or there is a transform of adapters where replies alone travel. Or secure aggregation does
            not go with the rest.
    """

    arm: Arm
    aggregator: Aggregator
    transforms: tuple[UpdateTransform, ...] = ()
    limits: ReplyLimits = field(default_factory=ReplyLimits)
    participation: Participation = field(default_factory=Participation)
    # Public ones, asked of every shop, where shops teach each other by replies to them.
    queries: tuple[str, ...] = ()
    # Every update is masked on its device, and the server reads sums alone; None: it reads every update.
    secure: SecureAggregationSettings | None = None

    def __post_init__(self) -> None:
        self._check_secure()
        if self.transforms and isinstance(self.arm, TeachesByReplies) and not self.federated:
            raise ConfigError(
                f"update: {type(self.transforms[0]).__name__} changes adapters on their way, and in arm "
                f"{self.arm.name} replies travel and no adapter does. Leave update out."
            )
        if self.transforms and self.aggregator.exchange(1).control:
            raise ConfigError(
                f"update: {type(self.transforms[0]).__name__} changes adapters on their way, and the control variates "
                f"of strategy {type(self.aggregator).__name__} would leave as they are. Take one of them away."
            )
        if not self.aggregator.single_updates:
            return
        for transform in self.transforms:
            if transform.sums_only:
                raise ConfigError(
                    f"update: {type(transform).__name__} shows the server sums of updates only, and strategy "
                    f"{type(self.aggregator).__name__} needs every update by itself. Take one of them away."
                )

    def _check_secure(self) -> None:
        if self.secure is None:
            return
        option, name = "secure_aggregation hides every single update", type(self.aggregator).__name__
        if isinstance(self.arm, TeachesByReplies):
            raise ConfigError(
                f"secure_aggregation hides adapters in their sum, and in arm {self.arm.name} shops' replies travel as "
                "they are. Leave it out, or take arm=aggregated or personalized."
            )
        if not self.federated:
            raise ConfigError(
                f"secure_aggregation has no effect in arm {self.arm.name}, where no adapter travels. Leave it out, or "
                "take arm=aggregated or personalized."
            )
        if self.aggregator.single_updates:
            raise ConfigError(
                f"{option}, and strategy {name} needs every update by itself. Take one that needs the mean alone, such "
                "as fedavg, ffa_lora, rolora, fedsa_lora or fedsvd, or leave secure_aggregation out."
            )
        if self.aggregator.exchange(1).control:
            raise ConfigError(
                f"{option}, and the control variates of strategy {name} would leave as they are. Take one of them away."
            )
        if self.limits.settings.norm_rule == "refuse":
            raise ConfigError(
                f"{option}, and replies.norm_rule=refuse judges updates by their norms. Take replies.norm_rule=flag "
                "(nothing can be flagged), update=clip on the devices, or leave secure_aggregation out."
            )
        for transform in self.transforms:
            if transform.sums_only:
                raise ConfigError(
                    f"update: {type(transform).__name__} hides single updates, and so does secure_aggregation. Take "
                    "one of them away."
                )

    def masks(self, server_round: int) -> bool:
        """Whether updates go up after the round, masked."""
        return self.secure is not None and bool(self.exchange(server_round).up)

    def quantisation(self, num_shops: int) -> Quantisation:
        """How masked numbers travel in a run of so many shops.

        Raises:
            ConfigError: their sum does not fit into the modulus.
        """
        assert self.secure is not None, "asked where updates are masked"
        return self.secure.quantisation(num_shops, self.limits.max_examples)

    def asks(self, server_round: int) -> bool:
        """Whether shops answer the public queries after the round."""
        return isinstance(self.arm, TeachesByReplies) and self.arm.asks(server_round)

    def public_set(self, server_round: int, agreed: Sequence[AgreedReply]) -> PublicSet | None:
        """What goes down to every shop of the round; None where there is neither a question nor an answer."""
        asks = self.asks(server_round)
        if not asks and not agreed:
            return None
        return PublicSet(self.queries, tuple(each.reply for each in agreed), asks)

    def check_agreed(self, agreed: Sequence[AgreedReply]) -> None:
        """Refuses to go on from replies to other queries than the plan's.

        Raises:
            ConfigError: says so.
        """
        if agreed and tuple(each.query for each in agreed) != self.queries:
            raise ConfigError(
                f"The public queries of arm {self.arm.name} are not those that the run started with, so it cannot go "
                "on. Bring back what arm.queries.path named, or start the run again in another folder."
            )

    def expecting(self, shapes: Shapes) -> FederationPlan:
        """The plan for adapters of these names and shapes, those of a fresh one; of them, what travels is expected."""
        travelling = shapes_of_rank(shapes, self.limits.shared_rank)
        return replace(self, limits=replace(self.limits, shapes=dict(travelling)))

    @property
    def sums_only(self) -> bool:
        """Whether the server sees no update by itself."""
        return self.secure is not None or any(transform.sums_only for transform in self.transforms)

    @property
    def pools(self) -> bool:
        """Whether all shops' dialogues lie on one device."""
        return pools(self.arm)

    @property
    def federated(self) -> bool:
        """Whether any adapter travels in this arm."""
        return self._uploads_from(1)

    @property
    def personal_rounds(self) -> int:
        """How many rounds follow the last upload; 0 where nothing is ever uploaded."""
        if not self.federated:
            return 0
        return sum(not self._uploads_from(server_round) for server_round in range(1, self.arm.server_rounds + 1))

    def _uploads_from(self, server_round: int) -> bool:
        return any(self.arm.uploads(later) for later in range(server_round, self.arm.server_rounds + 1))

    def check_shops(self, shop_ids: Sequence[str]) -> None:
        """Refuses a run with a round in which too few shops take part for the aggregator, or to hide in their sum.

        Who drops out of a round is not foreseen: that may skip the round. A round without any shop is skipped.

        Raises:
            ConfigError: names the round, and how many shops it has; or a trace of other shops.
        """
        self.participation.check_shops(shop_ids)
        if self.secure is not None:
            self.quantisation(len(shop_ids))
        for server_round in filter(self.arm.uploads, range(1, self.arm.server_rounds + 1)):
            drawn = self.participation.of_round(server_round, shop_ids).drawn
            if not drawn:
                continue
            try:
                self._check_count(drawn)
            except TooFewUpdates as error:
                rule = self.participation.settings
                lower = {"share": rule.share < 1, "late_share": rule.late_share > 0, "trace": rule.trace is not None}
                named = [f"participation.{name}={getattr(rule, name)}" for name, holds in lower.items() if holds]
                why = f" ({', '.join(named)})" if drawn < len(shop_ids) else ""
                raise ConfigError(
                    f"{drawn} of {len(shop_ids)} shops{why} take part in server round {server_round}: {error}"
                ) from None

    def _check_count(self, drawn: int) -> None:
        if self.secure is not None and drawn < self.secure.min_shops:
            raise TooFewUpdates(
                f"secure_aggregation.min_shops={self.secure.min_shops}, and a sum of fewer is never read. Take more "
                "shops, or leave secure_aggregation out."
            )
        if isinstance(self.aggregator, NeedsShops):
            self.aggregator.check_count(drawn)

    def exchange(self, server_round: int) -> Exchange:
        """What trains and what goes up in a round of this arm.

        The aggregator has a say in every round up to the last upload, rounds between uploads included;
        after that, and where nothing is ever uploaded, the adapter is the shop's own and all of it trains.
        """
        if not self._uploads_from(server_round):
            return Exchange(EVERYTHING, NOTHING, self.aggregator.exchange(server_round).turns)
        wanted = self.aggregator.exchange(server_round)
        return wanted if self.arm.uploads(server_round) else replace(wanted, up=NOTHING)


def pools(arm: Arm) -> bool:
    """Whether the shops of an arm learn as one device; one that says nothing of it does not."""
    return bool(getattr(arm, "pools", False))
