"""Shops that answer from their own examples, over whole rounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecc_fed.core.protocols import Answering
from ecc_fed.core.records import Asked, LikelihoodRequest, PseudoLabel, ReplyRequest, Shop
from ecc_fed.core.run_directory import RunDirectory, read_jsonl
from ecc_fed.evolution.answering.cloud import CloudAlone
from ecc_fed.evolution.answering.model_with_examples import ModelWithExamples
from ecc_fed.evolution.answering.nearest_example import NearestExample
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.evolution.evaluation import evaluate_pairs
from ecc_fed.evolution.experience import Experience
from ecc_fed.evolution.settings import Services
from ecc_fed.evolution.shop_state import load_state
from tests.evolution.fakes import CountingModel, pair, services, settings, truth_of, write_adapter

SHOP = Shop(
    "shop_0",
    tuple(pair("shop_0", f"h{i}", reply=f"human h{i}") for i in range(4)),
    tuple(pair("shop_0", f"s{i}", reply=f"human s{i}") for i in range(8)),
    tuple(replace(pair("shop_0", f"t{i}"), query=f"q s{i}") for i in range(3)),
)


class Noting(CountingModel):
    def __init__(self) -> None:
        super().__init__()
        self.requests: list[ReplyRequest] = []
        self.likelihoods: list[LikelihoodRequest] = []

    def reply(self, requests):  # type: ignore[no-untyped-def]
        self.requests += requests
        return super().reply(requests)

    def likelihood(self, requests):  # type: ignore[no-untyped-def]
        self.likelihoods += requests
        return super().likelihood(requests)


def device(folder: Path, answering: Answering, trains: bool, shop: Shop = SHOP) -> tuple[ShopDevices, Noting, Services]:
    model = Noting()
    given = replace(services(), end_model=model, answering=answering)
    loop = replace(settings(human_share=0.0), trains=trains)
    directory = RunDirectory(folder)
    return ShopDevices([shop], truth_of([shop]), given, loop, directory, write_adapter, seed=0), model, given


def rows(folder: Path, phase: str) -> list[dict[str, Any]]:
    found = read_jsonl(folder / "shops" / "shop_0" / f"evaluation_{phase}/samples.jsonl")
    return [row for row in found if row["phase"] == phase]


def lived(folder: Path, answering: Answering, trains: bool) -> tuple[Noting, Services]:
    shops, model, given = device(folder, answering, trains)
    shops.evaluate("shop_0", 0, None, "base")
    for server_round in (1, 2):
        shops.train("shop_0", server_round, None)
    shops.evaluate("shop_0", 2, None, "final")
    return model, given


def test_a_shop_that_copies_asks_no_model_after_the_base_and_learns_from_every_round(tmp_path: Path) -> None:
    model, _ = lived(tmp_path, NearestExample("question"), trains=False)
    assert [len(request.prompts) for request in model.requests] == [3], "the bare base's evaluation alone"
    assert model.requests[0].adapter is None and model.jobs == [] and len(model.likelihoods) == 1
    assert [row["reply"] for row in rows(tmp_path, "base")] == ["bad q s0", "bad q s1", "bad q s2"]
    final = rows(tmp_path, "final")
    # The stream's queries were answered by the cloud in the first round, and are what the tests ask.
    assert [row["reply"] for row in final] == ["cloud q s0", "cloud q s1", "cloud q s2"]
    assert all((row["nll_nats"], row["signals"]["margin"]) == (None, None) for row in final)
    assert all(row["chrf"] is not None and not row["extra"] for row in final)
    state = load_state(tmp_path / "shops" / "shop_0", 2)
    assert (state.num_examples, state.optimizer) == (0, None) and len(state.pseudo_labels) == 8
    assert [(row.steps, row.train_loss) for row in state.metrics] == [(0, None)] * 2


def test_a_query_of_the_stream_is_not_answered_by_its_own_label(tmp_path: Path) -> None:
    twice = replace(SHOP, stream=(*SHOP.stream[:4], *SHOP.stream[:4]))
    shops, _, given = device(tmp_path, NearestExample("question"), False, twice)
    shops.train("shop_0", 1, None)
    shops.train("shop_0", 2, None)
    replies = load_state(tmp_path / "shops" / "shop_0", 2).metrics[-1]
    assert replies.escalated == 4
    assert given.answering.prepare([], ()) == []


def test_an_untrained_shop_with_examples_is_the_bare_base_before_longer_prompts(tmp_path: Path) -> None:
    model, _ = lived(tmp_path, ModelWithExamples(2, "question"), trains=False)
    assert model.jobs == [] and all(request.adapter is None for request in model.requests)
    assert all(request.adapter is None for request in model.likelihoods)
    base, first, second, final = model.requests
    assert {len(prompt) for prompt in base.prompts} == {1}
    assert {len(prompt) for request in (first, second, final) for prompt in request.prompts} == {5}
    assert [prompt[-3].text for prompt in final.prompts] == ["q s0", "q s1", "q s2"]
    held_out = model.likelihoods[-1].examples
    assert [example.prompt for example in held_out] == list(final.prompts)
    assert [example.reply for example in held_out] == [test.reply for test in SHOP.test]


def test_a_shop_that_trains_with_examples_trains_as_it_serves(tmp_path: Path) -> None:
    model, _ = lived(tmp_path, ModelWithExamples(2, "question"), trains=True)
    assert len(model.jobs) == 2
    for example in model.jobs[-1].examples:
        assert len(example.prompt) == 5 and example.prompt[-1].text not in {turn.text for turn in example.prompt[:-1]}
    assert [row["reply"] for row in rows(tmp_path, "final")] == ["good q s0", "good q s1", "good q s2"]


@pytest.mark.parametrize(("answering", "trains"), [(NearestExample(), False), (ModelWithExamples(2), True)])
def test_a_fresh_process_goes_on_as_if_it_had_never_stopped(tmp_path: Path, answering: Answering, trains: bool) -> None:
    lived(tmp_path / "whole", answering, trains)
    for server_round in (1, 2):
        device(tmp_path / "parts", answering, trains)[0].train("shop_0", server_round, None)
    device(tmp_path / "parts", answering, trains)[0].evaluate("shop_0", 2, None, "final")
    assert rows(tmp_path / "parts", "final") == rows(tmp_path / "whole", "final")


def test_memory_is_measured_by_prompts_with_their_examples_and_not_at_all_without_a_model_to_train(
    tmp_path: Path,
) -> None:
    job = device(tmp_path, ModelWithExamples(2), True)[0].trial_job()
    assert job is not None and {len(example.prompt) for example in job.examples} == {5}
    assert device(tmp_path, ModelWithExamples(2), False)[0].trial_job() is None
    assert device(tmp_path, NearestExample(), True)[0].trial_job() is None


def test_the_bare_base_is_the_same_in_every_arm_whatever_is_known() -> None:
    known = Experience(SHOP.history)
    for answering in (NearestExample(), ModelWithExamples(2)):
        model = Noting()
        given = replace(services(), end_model=model, answering=answering)
        evaluate_pairs(SHOP.test, None, "base", 0, SHOP.history, {}, settings(), given, 0, experience=known)
        assert model.requests[0].prompts == tuple(test.prompt for test in SHOP.test)
        assert [example.prompt for example in model.likelihoods[0].examples] == [test.prompt for test in SHOP.test]


def test_an_agents_answer_wins_over_the_clouds_to_the_same_question() -> None:
    human, label = SHOP.history[0], PseudoLabel("shop_0/x", SHOP.history[0].prompt, "cloud", "m", "low_score", 1)
    known = Experience((human,), (label,)).known()
    assert [each.reply for each in known] == ["cloud", human.reply]
    assert NearestExample().prepare([Asked(human.prompt)], known) == [human.reply]


def test_where_the_cloud_answers_each_query_is_asked_once_and_no_model_any(tmp_path: Path) -> None:
    shops, model, given = device(tmp_path, CloudAlone(), trains=False)
    for server_round in (1, 2):
        shops.train("shop_0", server_round, None)
    state = load_state(tmp_path / "shops" / "shop_0", 2)
    gateway = given.gateway
    assert [request.turns for request in gateway.requests] == [p.prompt for p in SHOP.stream[: state.served]]
    assert {request.purpose for request in gateway.requests} == {"serve"}
    assert not model.requests and not model.jobs
    assert sum(row.teacher_requests for row in state.metrics) == state.served > 0
    assert sum(row.cost_usd for row in state.metrics) == 0.5 * state.served
    assert all(row.mean_score is None for row in state.metrics), "nobody holds a reply against itself"
    assert state.pseudo_labels == ()
    sent = sum(entry.num_bytes for entry in state.egress if entry.direction == "up")
    assert sent == sum(len(p.query.encode()) for p in SHOP.stream[: state.served])
    gateway.requests.clear()
    shops.evaluate("shop_0", 2, None, "final")
    found = rows(tmp_path, "final")
    assert [row["reply"] for row in found] == [f"cloud {test.query}" for test in SHOP.test]
    assert {row["final_score"] for row in found} == {row["nll_nats"] for row in found} == {None}
    assert len(gateway.requests) == len(SHOP.test)
    assert not model.requests and not model.likelihoods


def test_a_cloud_that_fails_leaves_its_customers_without_an_answer(tmp_path: Path) -> None:
    shops, model, given = device(tmp_path, CloudAlone(), trains=False)
    given.gateway.dead = True
    shops.train("shop_0", 1, None)
    (row,) = load_state(tmp_path / "shops" / "shop_0", 1).metrics
    assert (row.teacher_failed, row.teacher_requests) == (row.served, row.served)
    assert not model.requests
    shops.evaluate("shop_0", 1, None, "final")
    assert {row["reply"] for row in rows(tmp_path, "final")} == {""}
