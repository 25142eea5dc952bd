"""What of a run's config reaches the parts that are built from it."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ecc_fed.assembly import build
from ecc_fed.assembly.build import EMBEDDED, build_cloud, build_end_model, build_settings
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.core.errors import BudgetExceeded, ConfigError
from ecc_fed.core.rows import CloudCalls
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.core.seeding import derive_seed
from ecc_fed.end_model.adapters.low_rank import RsLora
from ecc_fed.end_model.engines import opening
from ecc_fed.evolution.evaluation_files import save_evaluation
from ecc_fed.evolution.owner import owner_of
from ecc_fed.teacher.gateway.budget import Spending
from ecc_fed.teacher.gateway.retry import RetryPolicy
from ecc_fed.teacher.gateway.settings import GatewaySettings
from tests.evolution import fakes


@pytest.mark.parametrize(("rounds", "cycles", "steps"), [(4, 1, 50), (2, 3, 5), (1, 1, 7)])
def test_the_learning_rate_decays_over_all_cycles_of_all_rounds(rounds: int, cycles: int, steps: int) -> None:
    given = [f"evolution.server_rounds={rounds}", f"evolution.cycles={cycles}", f"finetune.steps={steps}"]
    settings = build_settings(to_run_config(compose_run(given)))
    assert settings.fine_tune.linear_decay and settings.fine_tune.steps == steps
    assert settings.decay_steps == rounds * cycles * steps


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What engines are opened with, without any model."""
    found: list[tuple[Any, ...]] = []

    def open_engine(*arguments: Any) -> object:
        found.append(arguments)
        return object()

    monkeypatch.setattr(opening, "open_engine", open_engine)
    monkeypatch.setattr(build, "_RESIDENT", {})
    return found


def test_every_setting_of_the_end_model_reaches_its_engine(opened: list[tuple[Any, ...]]) -> None:
    base = ["quantization=bf16", "device=cpu", "max_prompt_tokens=99", "max_reply_tokens=77", "batch_tokens=55"]
    given = [f"end_model.{each}" for each in base]
    config = to_run_config(
        compose_run([*given, "adapter=rslora", "adapter.rank=3", "runtime.engine=peft", "prompt.system='规矩'"])
    )
    assert build_end_model(config) is build_end_model(config), "loaded once"
    ((settings, adapter, engine, system),) = opened
    assert (settings.path, settings.quantization, settings.device) == (str(EMBEDDED), "bf16", "cpu")
    assert (settings.max_prompt_tokens, settings.max_reply_tokens, settings.batch_tokens) == (99, 77, 55)
    assert (adapter, engine, system) == (RsLora(3, 11.3137, 0.1), "peft", "规矩")


@pytest.mark.parametrize(
    "change", ["end_model.max_prompt_tokens=99", "adapter.rank=3", "runtime.engine=peft", "prompt.system=a"]
)
def test_another_end_model_is_opened_anew(change: str, opened: list[tuple[Any, ...]]) -> None:
    for given in ([], [change], [change]):
        build_end_model(to_run_config(compose_run(given)))
    assert len(opened) == 2


def test_a_base_without_room_for_prompt_and_reply_is_refused_when_it_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opening, "open_engine", lambda *given: SimpleNamespace(positions=300))
    monkeypatch.setattr(build, "_RESIDENT", {})
    room = ["end_model.max_prompt_tokens=240", "decoding.max_new_tokens=60"]
    build_end_model(to_run_config(compose_run(room)))
    with pytest.raises(ConfigError, match=r"embedded has 300 positions, and prompt and reply take up to 301: lower"):
        build_end_model(to_run_config(compose_run([*room[:1], "decoding.max_new_tokens=61"])))


def test_a_hosts_gateway_has_its_part_of_the_runs_budget() -> None:
    budget = build_cloud(to_run_config(compose_run(["gateway.max_requests=10"])), budget_share=0.3).gateway.budget
    for _ in range(3):
        budget.reserve(Spending(1, 1, 0.0))
    with pytest.raises(BudgetExceeded, match="max_requests is 10, of which this host's shops have 3"):
        budget.reserve(Spending(1, 1, 0.0))


def test_a_host_goes_on_from_what_its_shops_have_spent_the_bases_part_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = to_run_config(compose_run(["corpus.num_shops=2", "corpus.pairs_per_shop=24"]))
    corpus, directory = build.build_corpus(config), RunDirectory(tmp_path)
    shops = [corpus.shop(shop_id) for shop_id in corpus.shop_ids()]
    for phase, spent in (("base", Spending(3, 30, 0.5)), ("final", Spending(4, 40, 0.25))):
        owner = owner_of(shops[0], "run")
        save_evaluation(directory.shop(owner.shop_id), phase, 0, owner, (), (), spent, CloudCalls())  # type: ignore[arg-type]
    cloud = build_cloud(config)
    services = replace(fakes.services(), gateway=cloud.gateway)
    monkeypatch.setattr(build, "build_services", lambda config, budget_share: services)
    restored: list[tuple[Spending, Spending]] = []
    monkeypatch.setattr(cloud.gateway.budget, "restore", lambda spent, of_base: restored.append((spent, of_base)))
    build.build_devices(config, shops, {}, directory, corpus.shop_ids())
    assert restored == [(Spending(7, 70, 0.75), Spending(3, 30, 0.5))]


def test_texts_for_the_teacher_are_kept_where_the_config_says_so(tmp_path: Path) -> None:
    for said, kept in (("false", False), ("true", True)):
        config = to_run_config(compose_run([f"privacy.keep_text={said}"]))
        gateway = build_cloud(config).gateway
        build.keep_texts(config, gateway, lambda shop_id: tmp_path)
        assert (gateway.texts is not None) == kept
    build.keep_texts(config, fakes.services().gateway, lambda shop_id: tmp_path)  # one of a user's own


def test_a_limit_on_money_needs_prices() -> None:
    with pytest.raises(ConfigError, match=r"gateway\.max_cost_usd=2 bounds nothing: .* has no prices\. Give them"):
        build_cloud(to_run_config(compose_run(["teacher=openai_compatible", "gateway.max_cost_usd=2"])))
    priced = ["gateway.max_cost_usd=2", "teacher=retrieval", "teacher.output_usd_per_million_tokens=1"]
    assert build_cloud(to_run_config(compose_run(priced))).gateway.budget.max_cost_usd == 2


def test_waits_between_attempts_are_drawn_from_the_runs_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []

    def retry(self: GatewaySettings, seed: int = 0) -> RetryPolicy:
        seeds.append(seed)
        return RetryPolicy(seed=seed)

    config = to_run_config(compose_run(["seed=5"]))
    monkeypatch.setattr(GatewaySettings, "retry", retry)
    build_cloud(config)
    assert seeds == [derive_seed(5, "gateway_retry")]
