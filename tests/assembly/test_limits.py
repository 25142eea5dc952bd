"""What the server holds replies against, from config."""

from pathlib import Path

from omegaconf import OmegaConf

from ecc_fed.assembly.build import build_end_model
from ecc_fed.assembly.compose import compose_run, load_config, to_run_config
from ecc_fed.assembly.federation import build_plan
from ecc_fed.assembly.flower_device import plan_without_base


def test_limits_are_the_runs_own_settings() -> None:
    settings = ["evolution.cycles=3", "finetune.steps=5", "finetune.batch_size=7", "adapter.method=rslora"]
    limits = build_plan(
        to_run_config(compose_run([*settings, "replies.norm_factor=4", "replies.norm_rule=refuse"]))
    ).limits
    assert limits.max_examples == 3 * 5 * 7
    assert limits.scale_at(4) == 32 / 4**0.5
    assert (limits.settings.max_value, limits.settings.norm_factor, limits.settings.norm_rule) == (1e4, 4.0, "refuse")
    assert build_plan(to_run_config(compose_run(["replies.norm_factor=null"]))).limits.settings.norm_factor is None


def test_a_server_without_hosts_derives_what_the_engine_makes_and_nothing_where_no_adapter_travels() -> None:
    config = to_run_config(compose_run(["arm=aggregated"]))
    shapes = plan_without_base(config).limits.shapes
    fresh = build_end_model(config).new_adapter(0)
    assert shapes is not None
    assert list(shapes.items()) == [(name, tensor.shape) for name, tensor in fresh.items()]
    assert plan_without_base(to_run_config(compose_run(["arm=local"]))).limits.shapes is None


def test_a_run_from_before_these_settings_takes_the_defaults(tmp_path: Path) -> None:
    former = OmegaConf.to_container(compose_run([]))
    assert isinstance(former, dict)
    del former["replies"]
    OmegaConf.save(former, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml").replies.norm_factor == 10.0
