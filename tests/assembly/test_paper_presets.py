"""The paper's own values, as the presets compose them."""

import pytest

from ecc_fed.assembly.build import build_settings
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.core.errors import ConfigError
from ecc_fed.end_model.adapters.low_rank import Dora, Lora, RsLora
from ecc_fed.end_model.adapters.prefix import PrefixTuning, PTuningV2
from ecc_fed.runs.study import plan_study

PAPER = {
    "prefix_tuning": PrefixTuning(128, 512),
    "p_tuning_v2": PTuningV2(128),
    "lora": Lora(8, 32.0, 0.1, "all-linear"),
}


@pytest.mark.parametrize("name", PAPER)
def test_table_iv_holds_the_papers_values(name: str) -> None:
    config = to_run_config(compose_run(["experiment=paper_table4", f"adapter={name}"]))
    assert config.adapter.settings() == PAPER[name]
    assert (config.end_model.max_prompt_tokens, config.end_model.max_reply_tokens) == (256, 512)
    assert (config.finetune.learning_rate, config.finetune.batch_size) == (5e-5, 1)
    settings = build_settings(config)
    assert settings.evolution.server_rounds * settings.evolution.cycles * settings.fine_tune.steps == 30_000
    assert settings.decay_steps == 30_000
    assert (settings.decoding.top_p, settings.decoding.temperature, settings.decoding.sample) == (0.8, 0.6, True)


def test_table_iv_is_a_study_of_its_three_methods() -> None:
    runs = plan_study("paper_table4", [])
    assert [run.name for run in runs] == [f"{name}/{arm}_seed0" for name in PAPER for arm in ("none", "local")]
    assert {run.config.adapter.method for run in runs} == set(PAPER)
    assert [run.name for run in plan_study("quickstart", ["study.arms=[local]"])] == ["local_seed0"]
    assert plan_study("paper_table4", ["finetune.steps=3"])[0].config.finetune.steps == 3


@pytest.mark.parametrize("end_model", ["chatglm3_6b", "glm4_9b"])
def test_a_base_that_names_its_modules_goes_with_every_method(end_model: str) -> None:
    lora = to_run_config(compose_run([f"end_model={end_model}", "adapter=dora"]))
    assert lora.adapter.settings() == Dora(8, 32.0, 0.1, ("q_proj", "k_proj", "v_proj"))
    assert lora.end_model.quantization == "nf4"
    prefix = to_run_config(compose_run([f"end_model={end_model}", "adapter=p_tuning_v2"]))
    assert prefix.adapter.settings() == PAPER["p_tuning_v2"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["adapter.method=loha"], r"adapter\.method=loha is unknown: take one of lora, rslora, dora"),
        (["adapter.rank=0"], r"adapter\.rank=0 is out of range: 1 or more"),
        (["adapter.lora_dropout=1.0"], r"adapter\.lora_dropout=1\.0 is out of range"),
        (["adapter=prefix_tuning", "adapter.rank=8"], r"adapter\.rank=8 is no setting of prefix_tuning, which"),
        (["adapter.num_virtual_tokens=8"], r"adapter\.num_virtual_tokens=8 is no setting of lora, which has rank"),
        (["adapter=p_tuning_v2", "adapter.method=lora"], r"num_virtual_tokens=128 is no setting of lora"),
    ],
)
def test_a_setting_of_another_method_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        to_run_config(compose_run(overrides))


def test_rslora_starts_at_loras_scale() -> None:
    settings = to_run_config(compose_run(["adapter=rslora"])).adapter.settings()
    assert isinstance(settings, RsLora)
    assert settings.scale == pytest.approx(4.0, abs=1e-4)
