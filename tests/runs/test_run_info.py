"""What `run.json` tells: everything that went wrong, by name, and what the hosts used together."""

from dataclasses import replace

import pytest

from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.federation import build_plan
from ecc_fed.assembly.language import with_language
from ecc_fed.core.aggregation import AggregateReport, AggregatorState
from ecc_fed.core.records import EgressEntry, Pair, Shop
from ecc_fed.core.rows import AggregationRow, FailureRow, MetricRow, ShopRelevance
from ecc_fed.evolution.kneser_ney import kneser_ney_perplexity
from ecc_fed.evolution.loop import Learned
from ecc_fed.evolution.warm_start import warm_start_row
from ecc_fed.federation.aggregation.shop_privacy import ShopPrivacy
from ecc_fed.federation.results import (
    Evaluation,
    FederationResult,
    RoundRecord,
    ServerState,
    ShopFailure,
    SkippedRound,
)
from ecc_fed.hosts.reports import BatchHalved, HostReport, HostRestarted
from ecc_fed.runs.collect import Collected
from ecc_fed.runs.run_info import judge_info, run_info
from ecc_fed.runs.shop_profiles import shop_profiles
from tests.federation.fakes import local, personalized

FIRST = RoundRecord(
    1,
    {},
    (),
    tuple(
        EgressEntry(shop, 1, "aggregator", direction, kind, size)
        for shop in ("a", "b")
        for direction, kind, size in (("down", "adapter", 10), ("down", "config", 7), ("up", "adapter", 300))
    ),
    2.0,
    aggregation=AggregateReport(0.25, ranks={"a": 2, "b": 4}, aggregate_rank=4, server_seconds=1.5),
)
SECOND = RoundRecord(
    2,
    {},
    (ShopFailure("b", 2, "train", "refused", "not finite", "Traceback"),),
    (),
    3.0,
    skipped=SkippedRound(2, "nobody replied"),
)
RESULT = FederationResult(
    ServerState(2, AggregatorState(), frozenset("ba")),
    Evaluation(failures=(ShopFailure("a", 0, "base", "dropped", "died"),)),
    (FIRST, SECOND),
    Evaluation(),
)
HOSTS = (
    HostReport(1, 100, 7, 3, "few fit", (), 0.0, {"judge": 1.0, "teacher": 2.0}),
    HostReport(
        2,
        300,
        5,
        4,
        "all fit",
        (BatchHalved(2, 4, 2, "out of memory"),),
        0.0,
        {"judge": 0.5},
        (HostRestarted(1, 2, "its process ended"),),
    ),
)


def metric(shop_id: str, steps: int, *errors: str) -> MetricRow:
    row = warm_start_row(shop_id, Learned({}, None, (1.0,) * steps, 8, 1.0))
    return replace(row, server_round=1, split="stream", teacher_errors=errors)


COLLECTED = Collected(
    (metric("a", 6), metric("b", 4, "timeout: slow", "blocked: rude")),
    (FailureRow("state_damaged", "shops/b/round_0002/state.json is missing", shop_id="b"),),
)


PAIR = Pair("p", "s", "b", (), "q", "哈哈")
SHOPS = [Shop("b", (PAIR,), (), (PAIR,)), Shop("a", (), (), ())]


@pytest.fixture
def info():
    config = to_run_config(compose_run(["seed=5", "corpus.platform_share=0.5"]))
    return run_info("ab12", config, SHOPS, personalized(2, 1), RESULT, HOSTS, COLLECTED, 60.0)


def test_everything_that_went_wrong_stands_there_with_its_reason(info) -> None:
    assert info.failures == (
        FailureRow("shop_dropped", "base: died", 0, "a"),
        FailureRow("shop_refused", "train: not finite", 2, "b"),
        FailureRow("round_skipped", "nobody replied", 2),
        FailureRow(
            "batch_halved",
            "host 1: 4 shops at once ran out of memory, from then on 2 (out of memory)",
            2,
        ),
        FailureRow("host_restarted", "host 1: its process ended; a new one did its 2 unfinished shops again", 1),
        FailureRow("teacher_error", "timeout: slow", 1, "b"),
        FailureRow("teacher_error", "blocked: rude", 1, "b"),
        FailureRow("state_damaged", "shops/b/round_0002/state.json is missing", None, "b"),
    )


def test_only_aggregated_rounds_have_an_averaging_error(info) -> None:
    assert info.aggregation == (
        AggregationRow(1, 0.25, 4, {"a": 2, "b": 4}, bytes_up=600, bytes_down=20, server_seconds=1.5),
    )


def test_hosts_add_up_and_the_largest_peak_counts(info) -> None:
    runtime = info.runtime
    assert (runtime.hosts, runtime.base_loads, runtime.shops_per_batch, runtime.batch_reason) == (2, 3, 4, "all fit")
    assert (runtime.peak_rss_bytes, runtime.peak_gpu_bytes) == (300, 7)
    assert runtime.service_seconds == {"judge": 1.5, "teacher": 2.0}
    assert (runtime.wall_seconds, runtime.client_steps, runtime.client_steps_per_second) == (60.0, 10, 2.0)


def test_the_run_is_told_by_its_config(info) -> None:
    assert info.run_id == "ab12"
    assert (info.arm, info.seed, info.shops, info.shops_on_their_own) == ("personalized", 5, ("b", "a"), ("a", "b"))
    assert (info.server_rounds, info.cycles, info.personal_rounds) == (2, 1, 1)
    assert (info.corpus, info.teacher, info.language) == ("SimulatorCorpus", "RetrievalTeacher", "zh")
    assert info.platform_share == 0.5
    assert info.kneser_ney_perplexity == {"b": kneser_ney_perplexity(["哈哈"], ["哈哈"]), "a": None}
    assert (info.privacy.redaction, info.privacy.epsilon, info.privacy.secagg) == ("none", None, False)
    assert {"ecc_fed", "torch", "flwr"} <= set(info.versions)


@pytest.mark.parametrize("name", ["none", "patterns", "order_record"])
def test_the_redaction_is_told_by_its_name(name: str) -> None:
    nothing = FederationResult(ServerState(), Evaluation(), (), Evaluation())
    config = to_run_config(compose_run([f"redaction={name}"]))
    assert run_info("ab12", config, [], local(0), nothing, (), Collected((), ()), 1.0).privacy.redaction == name


def test_what_hid_whole_shops_is_told_for_the_rounds_that_were_averaged(info) -> None:
    assert (info.privacy.shop_epsilon, info.privacy.shop_delta) == (None, None)
    pytest.importorskip("opacus", reason="needs pip install 'ecc_fed[privacy]'")
    # The second of two rounds was skipped.
    config = to_run_config(compose_run(["arm=aggregated", "strategy=shop_dp", "evolution.server_rounds=2"]))
    plan = build_plan(config)
    told = run_info("ab12", config, SHOPS, plan, RESULT, HOSTS, COLLECTED, 60.0).privacy
    assert isinstance(plan.aggregator, ShopPrivacy)
    assert told.shop_epsilon == plan.aggregator.spent(1) < plan.aggregator.spent(2) <= 8.0
    assert told.shop_delta == 1e-3
    at_home = to_run_config(compose_run(["arm=local", "strategy=shop_dp"]))
    assert run_info("ab12", at_home, SHOPS, local(2), RESULT, HOSTS, COLLECTED, 60.0).privacy.shop_epsilon is None


def test_a_run_without_rounds_or_hosts_has_no_speed() -> None:
    config = to_run_config(compose_run([]))
    nothing = FederationResult(ServerState(), Evaluation(), (), Evaluation())
    runtime = run_info("ab12", config, [], local(0), nothing, (), Collected((), ()), 1.0).runtime
    assert (runtime.client_steps_per_second, runtime.hosts, runtime.batch_reason) == (0.0, 0, "")


def test_the_judge_is_named_with_what_it_reads_and_what_relevance_was_worth() -> None:
    found = {"a": ShopRelevance(0.5, 20, False)}
    blind = with_language(to_run_config(compose_run(["corpus=jsonl", "corpus.path=x", "judge=embedded"])), "en")
    told = judge_info(blind, found)
    assert (told.similarity, told.relevance) == ("EncoderSimilarity embedded", "CrossEncoderRelevance embedded")
    assert (told.languages, told.corpus_language, told.relevance_min_auc, told.shops) == (("zh",), "en", 0.65, found)
    assert told.withheld_reason is not None and "The judge reads zh" in told.withheld_reason
    letters = judge_info(to_run_config(compose_run(["judge=lexical"])), {})
    assert (letters.similarity, letters.languages, letters.withheld_reason) == ("CharacterNgrams", None, None)


def test_every_shop_has_its_profile():
    config = to_run_config(compose_run(["evolution.human_share=0.5", "seed=3"]))
    told = run_info("ab12", config, SHOPS, personalized(2, 1), RESULT, HOSTS, COLLECTED, 60.0)
    assert told.profiles == shop_profiles(SHOPS, 0.5, 3)
    assert list(told.profiles) == [shop.shop_id for shop in SHOPS]


def test_the_budget_of_the_shop_that_spent_most_stands_there(info) -> None:
    assert (info.privacy.epsilon, info.privacy.delta) == (None, None)
    config = to_run_config(compose_run(["privacy=record_dp", "privacy.delta=1e-3"]))
    rows = tuple(replace(metric(shop, 4), epsilon=spent) for shop, spent in (("a", 2.0), ("a", 3.5), ("b", 3.0)))
    private = run_info("ab12", config, SHOPS, personalized(2, 1), RESULT, HOSTS, Collected(rows, ()), 60.0)
    assert (private.privacy.epsilon, private.privacy.delta) == (3.5, 1e-3)
