"""Who trains and sends what in each round, and which parts do not go together."""

from collections.abc import Sequence
from typing import ClassVar

import pytest

from ecc_fed.core.aggregation import EVERYTHING, LORA_A, LORA_B, NOTHING, AdapterUpdate, Exchange
from ecc_fed.core.errors import ConfigError, TooFewUpdates
from ecc_fed.core.records import AdapterState
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.arms import Aggregated, Frozen, Local, Personalized
from ecc_fed.federation.limits import ReplyLimits
from ecc_fed.federation.participation import Participation, ParticipationSettings
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.trace import Rounds


class Alternating(FedAvg):
    """B trains and travels in odd rounds, A in even ones."""

    def exchange(self, server_round: int) -> Exchange:
        factor = LORA_B if server_round % 2 else LORA_A
        return Exchange(factor, factor)


class Single(FedAvg):
    """Needs every update by itself."""

    single_updates: ClassVar[bool] = True
    pairs_only: ClassVar[bool] = False


class Plain:
    """Changes nothing."""

    sums_only: ClassVar[bool] = False

    def on_device(self, update: AdapterUpdate, start: AdapterState) -> AdapterUpdate:
        return update

    def on_server(self, updates: Sequence[AdapterUpdate]) -> list[AdapterUpdate]:
        return list(updates)


class Masked(Plain):
    """Shows sums."""

    sums_only: ClassVar[bool] = True


class EveryOther(Aggregated):
    """Uploads in even rounds."""

    def uploads(self, server_round: int) -> bool:
        return server_round % 2 == 0


def plan(arm, aggregator=None, *transforms) -> FederationPlan:
    return FederationPlan(arm, aggregator or Alternating(), transforms)


@pytest.mark.parametrize(
    ("arm", "federated", "personal", "exchanges"),
    [
        (Frozen(3), False, 0, [(EVERYTHING, NOTHING)] * 4),
        (Local(3), False, 0, [(EVERYTHING, NOTHING)] * 4),
        (Aggregated(3), True, 0, [(LORA_B, LORA_B), (LORA_A, LORA_A), (LORA_B, LORA_B), (EVERYTHING, NOTHING)]),
        (Personalized(3, 1), True, 1, [(LORA_B, LORA_B), (LORA_A, LORA_A), *[(EVERYTHING, NOTHING)] * 2]),
        (Personalized(3, 3), False, 0, [(EVERYTHING, NOTHING)] * 4),
        # Between two uploads the aggregator still says what trains; after the last it does not.
        (
            EveryOther(5),
            True,
            1,
            [(LORA_B, NOTHING), (LORA_A, LORA_A), (LORA_B, NOTHING), (LORA_A, LORA_A), (EVERYTHING, NOTHING)],
        ),
        (EveryOther(1), False, 0, [(EVERYTHING, NOTHING)]),
        (Aggregated(0), False, 0, [(EVERYTHING, NOTHING)]),
    ],
)
def test_what_trains_and_what_goes_up(arm, federated, personal, exchanges) -> None:
    found = plan(arm)
    assert (found.federated, found.personal_rounds) == (federated, personal)
    rounds = range(1, len(exchanges) + 1)
    assert [found.exchange(server_round) for server_round in rounds] == [Exchange(*each) for each in exchanges]


def test_a_transform_that_shows_sums_hides_single_updates_from_whoever_needs_them() -> None:
    assert not plan(Aggregated(1)).sums_only
    assert not plan(Aggregated(1), Single(), Plain(), Plain()).sums_only
    assert plan(Aggregated(1), FedAvg(), Plain(), Masked()).sums_only
    with pytest.raises(ConfigError) as caught:
        plan(Aggregated(1), Single(), Plain(), Masked())
    assert str(caught.value) == (
        "update: Masked shows the server sums of updates only, and strategy Single needs every update by itself. "
        "Take one of them away."
    )


class Turning(Alternating):
    """Sends other factors than the means."""

    def exchange(self, server_round: int) -> Exchange:
        return Exchange(*LORA_B, turns=True)


def test_turned_factors_are_told_of_to_the_first_round_that_a_shop_lives_by_itself() -> None:
    found = plan(Personalized(3, 2), Turning())
    assert [found.exchange(each).turns for each in (1, 2, 3)] == [True, True, True]
    assert [plan(Personalized(3, 2)).exchange(each).turns for each in (1, 2)] == [False, False]


class Four(FedAvg):
    """Needs four updates."""

    def check_count(self, count: int) -> None:
        if count < 4:
            raise TooFewUpdates(f"{count} are too few")


def test_too_few_shops_a_round_are_refused_before_the_run() -> None:
    shops = tuple("abcdefgh")

    def sampled(share: float, arm=Aggregated(2), dropout: float = 0.0) -> FederationPlan:  # noqa: B008
        return FederationPlan(arm, Four(), participation=Participation(ParticipationSettings(share, dropout), 1))

    sampled(0.5).check_shops(shops)
    sampled(0.5, dropout=0.9).check_shops(shops)
    sampled(0.3, Local(2)).check_shops(shops)
    plan(Aggregated(2), FedAvg()).check_shops(("a",))
    with pytest.raises(ConfigError) as caught:
        sampled(0.4).check_shops(shops)
    text = "3 of 8 shops (participation.share=0.4) take part in server round 1: 3 are too few"
    assert str(caught.value) == text
    with pytest.raises(ConfigError, match="3 of 3 shops take part in server round 2: 3 are"):
        sampled(1.0, EveryOther(2)).check_shops(("a", "b", "c"))


def test_what_keeps_shops_away_is_said_by_its_settings() -> None:
    def refused(settings: ParticipationSettings, trace: dict[str, Rounds] | None = None) -> str:
        there = Participation(settings, 1, trace=trace or {})
        with pytest.raises(ConfigError) as caught:
            FederationPlan(Aggregated(2), Four(), participation=there).check_shops(tuple("abcdef"))
        return str(caught.value)

    late = refused(ParticipationSettings(late_share=0.5, late_round=2))
    assert late == "3 of 6 shops (participation.late_share=0.5) take part in server round 1: 3 are too few"
    both = refused(ParticipationSettings(share=0.7, late_share=0.5, late_round=2))
    assert "(participation.share=0.7, participation.late_share=0.5) take part in server round 1" in both
    traced = refused(ParticipationSettings(trace="t.csv"), {one: Rounds(((2, None),)) for one in "abc"})
    assert traced == "3 of 6 shops (participation.trace=t.csv) take part in server round 1: 3 are too few"


def test_what_lies_after_the_last_round_is_nobodys_matter() -> None:
    trace = {one: Rounds(((1, 2),)) for one in "abc"}
    there = Participation(ParticipationSettings(), 1, trace=trace)
    FederationPlan(Aggregated(2), Four(), participation=there).check_shops(tuple("abcdef"))


def test_adapters_are_expected_in_the_ranks_that_travel() -> None:
    a, b = "m.lora_A.weight", "m.lora_B.weight"
    shapes = {a: (8, 5), b: (4, 8)}
    whole = plan(Aggregated(1)).expecting(shapes)
    assert whole.limits.shapes == shapes
    limits = ReplyLimits(shared_rank=3)
    shared = FederationPlan(Aggregated(1), FedAvg(), limits=limits).expecting(shapes)
    assert shared.limits.shapes == {a: (3, 5), b: (4, 3)}


class Varying(FedAvg):
    """Has shops keep control variates."""

    def exchange(self, server_round: int) -> Exchange:
        return Exchange(control=True)


def test_no_transform_of_adapters_goes_with_control_variates_which_it_would_not_reach() -> None:
    with pytest.raises(ConfigError, match=r"update: Plain changes adapters .* control variates of strategy Varying"):
        plan(Aggregated(1), Varying(), Plain())
    found = plan(Personalized(3, 1), Varying())
    assert [found.exchange(each).control for each in (1, 2, 3)] == [True, True, False]
