"""The paper's studies as they compose: one factor for all steps, the six queries, the same world for all methods."""

from dataclasses import asdict
from pathlib import Path

import pytest

from ecc_fed.assembly.build import build_settings, build_view
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.federation import build_plan
from ecc_fed.cli.study import main as study_command
from ecc_fed.core.errors import ConfigError
from ecc_fed.runs.study import plan_study
from experiments.paper.published import scaled_steps
from experiments.paper.table6 import Table6

STEPS = {
    "prefix_tuning_3000": 3000,
    "p_tuning_v2_3000": 3000,
    "lora_3000": 3000,
    "lora_5000": 5000,
    "lora_15000": 15000,
}


@pytest.mark.parametrize("study", ["paper_table6", "paper_table6_full"])
def test_one_factor_scales_all_steps(study: str) -> None:
    runs = plan_study(study, ["study.seeds=[0]"], allowed=["experiments"])
    assert [run.name for run in runs] == [f"{name}/local_seed0" for name in STEPS]
    for run, steps in zip(runs, STEPS.values(), strict=True):
        view = build_view(run.config)
        assert isinstance(view, Table6)
        assert view.scale == {"paper_table6": 60, "paper_table6_full": 1}[study]
        settings = build_settings(run.config)
        assert settings.fine_tune.steps == settings.decay_steps == scaled_steps(steps, view.scale)
        assert settings.evolution.server_rounds == settings.evolution.cycles == 1
        assert not build_plan(run.config).federated
        assert len(settings.evolution.extra_queries) == 6


def test_methods_differ_in_nothing_but_method_engine_rate_and_steps() -> None:
    left, right = (
        asdict(run.config) for run in plan_study("paper_table6", ["study.seeds=[0]"], allowed=["experiments"])[1:3]
    )
    assert {name for name in left if left[name] != right[name]} == {"adapter", "finetune", "runtime"}
    for side in (left, right):
        del side["finetune"]["learning_rate"], side["runtime"]["engine"]
    assert (left["finetune"], left["runtime"]) == (right["finetune"], right["runtime"])


def test_theta_sweeps_what_must_run_again() -> None:
    runs = plan_study("paper_theta", ["study.seeds=[0]"], allowed=["experiments"])
    assert [run.config.judge.score_alpha for run in runs] == [0.8, 1.0, 0.5, 0.0]
    assert {run.config.finetune.steps for run in runs} == {50}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("study.view._target_=experiments.paper.table7.Table7", r"study\.view\._target_=.*table7.* cannot be imported"),
        ("study.view.scal=1", r"study\.view\.scal: .*takes no such setting; it takes scale"),
    ],
)
def test_a_view_that_is_none_is_named_before_any_run(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        study_command(["paper_table6", "--allow", "experiments", f"++{override}", "--out", str(tmp_path / "runs")])
    assert list(tmp_path.iterdir()) == []


def test_a_study_without_a_view_has_none() -> None:
    assert build_view(to_run_config(compose_run(["experiment=quickstart"]))) is None


def test_another_corpus_and_the_papers_own_steps_take_the_place_of_the_small_ones() -> None:
    given = ["study.seeds=[0]", "corpus=ecd", "corpus.path=ecd.txt", "finetune=paper"]
    runs = plan_study("paper_table6_full", [*given, "finetune.learning_rate=5e-5"], allowed=["experiments"])
    assert [run.config.finetune.steps for run in runs] == list(STEPS.values())
    assert {(run.config.finetune.batch_size, run.config.finetune.learning_rate) for run in runs} == {(1, 5e-5)}
    assert all("pairs_per_shop" not in run.config.corpus for run in runs)
