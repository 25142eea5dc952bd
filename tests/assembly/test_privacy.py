"""Which runs can have a budget of differential privacy, and what it holds."""

from pathlib import Path

import pytest

from ecc_fed.assembly import build
from ecc_fed.assembly.build import build_devices, build_settings, build_training_redactor
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Shop
from ecc_fed.core.run_directory import RunDirectory
from tests.evolution.fakes import shop


def config(*overrides: str) -> RunConfig:
    return to_run_config(compose_run(list(overrides)))


def test_plain_training_is_the_default() -> None:
    assert build_settings(config()).private is None
    assert build_settings(config("privacy=record_dp", "arm=none")).private is None


def test_the_budget_spans_all_steps_of_the_run() -> None:
    given = ["privacy=record_dp", "evolution.server_rounds=3", "evolution.cycles=2", "finetune.steps=7"]
    private = build_settings(config(*given)).private
    assert private is not None and (private.target, private.planned_steps) == (8.0, 42)
    warm = build_settings(config(*given, "evolution.warm_start.path=x", "evolution.warm_start.steps=5")).private
    assert warm is not None and warm.planned_steps == 47


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["answering=nearest_example"], r"answering=NearestExample shows the shop's own examples"),
        (["answering=model_with_examples"], r"answering=ModelWithExamples shows the shop's own examples"),
        (["arm=centralized"], r"in arm centralized all dialogues lie on one device"),
        (["arm=distilled"], r"in arm distilled it trains on agreed replies beside them"),
        (["privacy.epsilon=0"], r"privacy\.epsilon=0\.0 is out of range: above 0, or null"),
        (["privacy.delta=1"], r"privacy\.delta=1\.0 is out of range: between 0 and 1"),
        (["privacy.clipping_norm=0"], r"privacy\.clipping_norm=0\.0 is out of range: above 0"),
    ],
)
def test_what_no_noise_helps_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config("privacy=record_dp", *overrides)


def test_a_budget_that_a_shop_cannot_keep_is_refused_before_any_model_is_opened(tmp_path: Path) -> None:
    pytest.importorskip("opacus", reason="needs pip install 'ecc_fed[privacy]'")
    shops: list[Shop] = [shop(num_history=4)]
    given = config("privacy=record_dp", "privacy.epsilon=0.001", "finetune.steps=5000", "end_model.path=/nowhere")
    with pytest.raises(ConfigError, match=r"privacy\.epsilon=0\.001 cannot be kept over 20000 steps"):
        build_devices(given, shops, {}, RunDirectory(tmp_path), ("shop_0",))


def test_a_delta_too_large_for_what_a_shop_may_come_to_have_is_refused_at_once(tmp_path: Path) -> None:
    pytest.importorskip("opacus", reason="needs pip install 'ecc_fed[privacy]'")
    given = config("privacy=record_dp", "privacy.delta=0.01", "end_model.path=/nowhere")
    said = r"privacy\.delta=0\.01 is too large for a shop of 12 records.*delta=0\.001\."
    with pytest.raises(ConfigError, match=said):
        build_devices(given, [shop(num_history=4, num_stream=8)], {}, RunDirectory(tmp_path), ("shop_0",))


def test_masks_come_of_the_runs_redaction() -> None:
    given = config("privacy.mask_training=true", "redaction=patterns")
    redactor = build_training_redactor(given)
    assert redactor is not None and redactor.name == "patterns"
    assert build_training_redactor(config("redaction=patterns")) is None
    with pytest.raises(ConfigError, match=r"privacy\.mask_training=true masks what .* redaction=none finds nothing"):
        config("privacy.mask_training=true")


def test_the_shops_services_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("build_end_model", "build_judge"):
        monkeypatch.setattr(build, name, lambda config: None)
    redactor = build.build_services(config("privacy.mask_training=true", "redaction=patterns")).training_redactor
    assert redactor is not None and redactor.name == "patterns"
    assert build.build_services(config()).training_redactor is None
