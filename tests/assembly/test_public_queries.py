"""The arm `distilled` from a config: its parts, its queries, and what does not go with it."""

from pathlib import Path

import pytest

from ecc_fed.assembly.build import build_settings
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.federation import build_plan
from ecc_fed.assembly.flower_device import plan_without_base
from ecc_fed.assembly.public_queries import with_queries
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError, CorpusError
from ecc_fed.core.records import QuerySource
from ecc_fed.federation.aggregation.weights import ByExamples, Uniform
from ecc_fed.federation.agreement.medoid import Medoid
from ecc_fed.federation.arms import Distilled


def config(*overrides: str) -> RunConfig:
    return to_run_config(compose_run(["arm=distilled", *overrides]))


def test_the_shipped_arm_is_what_its_class_is_without_a_word() -> None:
    assert build_plan(config()).arm == Distilled(4) == Distilled(4, 0.2, QuerySource(None, 64), Medoid(ByExamples()))
    uniform = "arm.agreement.weights._target_=ecc_fed.federation.aggregation.weights.Uniform"
    given = config("arm.public_share=0.5", "arm.queries.count=3", uniform)
    assert build_plan(given).arm == Distilled(4, 0.5, QuerySource(None, 3), Medoid(Uniform()))
    assert build_settings(given).public_share == 0.5
    assert build_settings(to_run_config(compose_run(["arm=aggregated"]))).public_share == 0


def test_queries_are_the_corpus_own_or_a_files_and_the_same_under_flowers_engines(tmp_path: Path) -> None:
    given = config("arm.queries.count=5", "seed=3")
    plan = with_queries(build_plan(given), given)
    assert len(set(plan.queries)) == 5
    assert plan_without_base(given).queries == plan.queries
    other = config("arm.queries.count=5", "seed=4")
    assert with_queries(build_plan(other), other).queries != plan.queries
    path = tmp_path / "q.jsonl"
    path.write_text('{"query": "在吗"}\n{"query": "包邮吗"}\n', encoding="utf-8")
    filed = config(f"arm.queries.path={path}", "arm.queries.count=2")
    assert with_queries(build_plan(filed), filed).queries == ("在吗", "包邮吗")
    local = to_run_config(compose_run(["arm=local"]))
    assert with_queries(build_plan(local), local).queries == ()


def test_a_corpus_of_shops_own_dialogues_needs_a_file_of_queries(tmp_path: Path) -> None:
    dialogues = ["corpus=jsonl", f"corpus.path={tmp_path / 'd.jsonl'}"]
    with pytest.raises(ConfigError, match=r"arm distilled asks public queries, and this corpus .* arm.queries.path="):
        config(*dialogues)
    given = config(*dialogues, f"arm.queries.path={tmp_path / 'q.jsonl'}")
    with pytest.raises(CorpusError, match=r"q\.jsonl: no such file"):
        with_queries(build_plan(given), given)


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("strategy=krum", r"strategy MultiKrum makes one adapter of many, and in arm distilled replies travel"),
        ("strategy=scaffold", "strategy Scaffold makes one adapter of many"),
        ("strategy=fedsa_lora", "strategy FedSaLora makes one adapter of many"),
        ("update=clip", "update: ClipUpdate changes adapters on their way, and in arm distilled"),
        ("answering=cloud", "arm distilled has the shops' models answer public queries, and answering CloudAlone asks"),
        ("answering=nearest_example", "answering NearestExample asks no model. Take answering=model"),
        ("arm.public_share=1.5", "arm.public_share=1.5 is out of range"),
        ("arm.public_share=abc", "arm.public_share=abc is out of range"),
        ("arm.queries.count=0", "arm.queries.count=0 is out of range"),
        ("arm.queries.counts=3", "There is no setting arm.queries.counts"),
        ("replies.max_characters=0", "replies.max_characters=0 is out of range: 1 to 1,000,000"),
    ],
)
def test_what_does_not_go_with_it_is_refused_by_name(override: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        config(override)


@pytest.mark.parametrize(
    "overrides",
    [["answering=model_with_examples"], ["adapter.ranks=[2,8]"], ["adapter.lora_alphas=[16,64]"], ["strategy=fedavg"]],
)
def test_what_goes_with_it(overrides: list[str]) -> None:
    assert not build_plan(config(*overrides)).federated
