"""Which runs can have a budget of differential privacy, and what it holds."""

from pathlib import Path

import pytest

from ecc_fed.assembly import build
from ecc_fed.assembly.build import build_devices, build_redactor, build_settings, build_training_redactor
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.privacy import check_redaction
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError, EccError
from ecc_fed.core.records import Shop, Turn
from ecc_fed.core.run_directory import RunDirectory
from tests.evolution.fakes import shop
from tests.privacy.redaction.handmade import save_classifier


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


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["redaction=model"], r"redaction\.path has no value"),
        (["redaction=model", "redaction.path=/nowhere"], r"'/nowhere' is no folder: give redaction\.path=FOLDER"),
        (
            ["redaction=model", "redaction.path=/nowhere", "+redaction.bath=1"],
            r"redaction\.bath: .* takes no such setting",
        ),
        (["redaction=model", "redaction.path=x", "redaction.min_score=2"], r"redaction\.min_score=2 is out of range"),
        (["redaction=presidio"], r"pip install 'ecc-fed\[presidio\]'"),
    ],
)
def test_a_redaction_that_cannot_be_made_is_refused_before_anything_starts(
    overrides: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EccError, match=message):
        check_redaction(config(*overrides))


def test_a_redaction_that_can_be_made_passes_and_is_resident(tmp_path: Path) -> None:
    for name in ("none", "patterns", "order_record"):
        check_redaction(config(f"redaction={name}"))
    folder = save_classifier(tmp_path, {"王": "B-PER", "京": "B-ORG"})
    given = config("redaction=model", f"redaction.path={folder}", "redaction.labels={ORG: account}")
    check_redaction(given)
    redactor = build_redactor(given)
    assert redactor is build_redactor(given)
    assert redactor.redact([Turn("customer", "京王")], None).turns[0].text == "[账号1][姓名1]"
    english = config("redaction=model", f"redaction.path={folder}", "gateway.language=en")
    assert build_redactor(english).redact([Turn("customer", "京王")], None).turns[0].text == "京[name1]"


def test_a_users_own_redactor_needs_no_check() -> None:
    own = Path(__file__).parent.parent / "own_parts" / "conf"
    check_redaction(to_run_config(compose_run(["redaction=own"], [str(own)]), ["tests.own_parts"]))
