"""Rounds of a shop that routes: at its ends it is `always`, or asks for nobody but the unhappy."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ecc_fed.core.rows import SampleRow, read_rows
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.evolution.routing.router import LEAST_OUTCOMES
from ecc_fed.evolution.shop_state import ShopState, load_state
from tests.evolution.fakes import CountingModel, EchoGateway, services, settings, shop, truth_of, write_adapter
from tests.evolution.test_loop import HAPPY, SAD, Told

SHOP = shop(num_stream=30, num_test=4)
# One in three is unhappy.
VERDICTS = {pair.pair_id: SAD if i % 3 == 0 else HAPPY for i, pair in enumerate(SHOP.stream)}


class Slow(CountingModel):
    """Its replies get better one query after another: a query is answered well once enough was learned for it."""

    def reply(self, requests):  # type: ignore[no-untyped-def]
        steps = [0 if r.adapter is None else int(next(reversed(list(r.adapter.values())))[0, 0]) for r in requests]
        return [
            [("good " if sum(map(ord, p[-1].text)) % 5 < step else "bad ") + p[-1].text for p in request.prompts]
            for request, step in zip(requests, steps, strict=True)
        ]


def lived(folder: Path, **loop: object) -> tuple[list[ShopState], list[list[str]]]:
    """The shop's states after each of three rounds, and what was asked of the cloud in each."""
    given = replace(services(), feedback=Told(VERDICTS), end_model=Slow())
    gateway = given.gateway
    assert isinstance(gateway, EchoGateway)
    rounds = settings(server_rounds=3, **loop)
    device = ShopDevices([SHOP], truth_of([SHOP]), given, rounds, RunDirectory(folder), write_adapter, seed=0)
    states, asked = [], []
    for server_round in (1, 2, 3):
        before = len(gateway.requests)
        device.train(SHOP.shop_id, server_round, None)
        states.append(load_state(folder / "shops" / SHOP.shop_id, server_round))
        asked.append([request.turns[-1].text for request in gateway.requests[before:]])
    device.evaluate(SHOP.shop_id, 3, None, "final")
    return states, asked


def test_a_router_that_is_never_sure_enough_is_always(tmp_path: Path) -> None:
    always, asked = lived(tmp_path / "always", reference="always")
    routed, asked_too = lived(tmp_path / "routed", reference="routed", route_confidence=1.0, explore_rate=0.0)
    assert asked == asked_too
    for one, other in zip(always, routed, strict=True):
        assert one.pseudo_labels == other.pseudo_labels and one.outcomes == other.outcomes
        assert one.spent == other.spent and one.egress == other.egress
        for name, tensor in one.adapter.items():
            assert np.array_equal(tensor, other.adapter[name])


def test_a_router_that_is_always_sure_asks_for_the_unhappy_once_it_has_learned(tmp_path: Path) -> None:
    states, asked = lived(tmp_path, reference="routed", route_confidence=0.0, explore_rate=0.0)
    parts = [SHOP.stream[start : start + 10] for start in (0, 10, 20)]
    assert LEAST_OUTCOMES == 10 and len(states[0].outcomes) == 10
    assert asked[0] == [pair.query for pair in parts[0]]
    for part, queries in zip(parts[1:], asked[1:], strict=True):
        assert queries == [pair.query for pair in part if VERDICTS[pair.pair_id] == SAD]
    assert states[2].outcomes == states[0].outcomes, "customers choose no outcomes"


def test_a_share_is_explored_and_remembered(tmp_path: Path) -> None:
    states, asked = lived(tmp_path, reference="routed", route_confidence=0.0, explore_rate=0.4)
    explored = [len(state.outcomes) for state in states]
    assert 10 == explored[0] < explored[1] < explored[2] < 30
    assert len(asked[1]) > sum(VERDICTS[pair.pair_id] == SAD for pair in SHOP.stream[10:20])


def test_outcomes_are_of_rounds_before(tmp_path: Path) -> None:
    states, _ = lived(tmp_path, reference="always")
    assert [[outcome.server_round for outcome in state.outcomes] for state in states] == [
        [1] * 10,
        [1] * 10 + [2] * 10,
        [1] * 10 + [2] * 10 + [3] * 10,
    ]


def test_test_replies_carry_signals_and_confidence_of_the_last_state(tmp_path: Path) -> None:
    lived(tmp_path, reference="always")
    rows = read_rows(tmp_path / "shops" / SHOP.shop_id / "evaluation_final/samples.jsonl", SampleRow)
    own = [row for row in rows if row.phase == "final"]
    assert len(own) == 4
    for row in own:
        assert row.signals is not None and row.signals.margin == CountingModel.margin(row.reply)
        assert row.confidence is not None and 0 < row.confidence < 1
    assert all(row.signals is row.confidence is None for row in rows if row.phase != "final")
