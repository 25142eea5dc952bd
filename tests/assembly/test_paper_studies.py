"""The paper's studies as they compose: one factor for all steps, the six queries, the same world for all methods."""

from dataclasses import asdict

import pytest

from ecc_fed.assembly.build import build_settings
from ecc_fed.assembly.compose import compose_run, to_run_config, to_yaml
from ecc_fed.cli.study import plan_study
from ecc_fed.core.errors import ConfigError

STEPS = {
    "prefix_tuning_3000": 3000,
    "p_tuning_v2_3000": 3000,
    "lora_3000": 3000,
    "lora_5000": 5000,
    "lora_15000": 15000,
}


@pytest.mark.parametrize("scale", [60, 1, 1000])
def test_one_factor_scales_all_steps(scale: int) -> None:
    runs = plan_study("paper_table6", ["study.seeds=[0]", f"study.scale={scale}"])
    assert [run.name for run in runs] == [f"{name}/local_seed0" for name in STEPS]
    for run, steps in zip(runs, STEPS.values(), strict=True):
        settings = build_settings(run.config)
        assert settings.fine_tune.steps == settings.fine_tune.decay_steps == round(steps / scale)
        assert settings.server_rounds == settings.cycles == 1
        assert not run.config.arm.aggregate
        assert len(settings.extra_queries) == 6


def test_methods_differ_in_nothing_but_method_engine_rate_and_steps() -> None:
    left, right = (asdict(run.config) for run in plan_study("paper_table6", ["study.seeds=[0]"])[1:3])
    assert {name for name in left if left[name] != right[name]} == {"adapter", "finetune", "runtime"}
    for side in (left, right):
        del side["finetune"]["learning_rate"], side["runtime"]["engine"]
    assert (left["finetune"], left["runtime"]) == (right["finetune"], right["runtime"])


def test_a_run_keeps_its_steps_as_a_number() -> None:
    composed = compose_run(["experiment=paper_table6", "study.paper_steps=5000"])
    assert "steps: 83" in to_yaml(composed)


def test_theta_sweeps_what_must_run_again() -> None:
    runs = plan_study("paper_theta", ["study.seeds=[0]"])
    assert [run.config.judge.score_alpha for run in runs] == [0.8, 1.0, 0.5, 0.0]
    assert {run.config.finetune.steps for run in runs} == {50}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("study.scale=0", r"study\.scale=0.* above 0"),
        ("study.paper_steps=-1", r"study\.paper_steps=-1"),
        ("study.view=table7", r"study\.view=table7 is out of range: one of paper_table6, paper_theta"),
    ],
)
def test_a_wrong_value_is_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        to_run_config(compose_run(["experiment=paper_table6", override]))


def test_another_corpus_and_the_papers_own_steps_take_the_place_of_the_small_ones() -> None:
    given = ["study.scale=1", "study.seeds=[0]", "corpus=ecd", "corpus.path=ecd.txt", "finetune=paper"]
    runs = plan_study("paper_table6", [*given, "finetune.learning_rate=5e-5"])
    assert [run.config.finetune.steps for run in runs] == list(STEPS.values())
    assert {(run.config.finetune.batch_size, run.config.finetune.learning_rate) for run in runs} == {(1, 5e-5)}
    assert all("pairs_per_shop" not in run.config.corpus for run in runs)
