"""A budget over all rounds: which records steps draw from, how much noise they have, and where it ends."""

from dataclasses import replace
from pathlib import Path

import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import FineTuneSettings, PseudoLabel
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.end_model.training.record_privacy import RecordPrivacy
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.evolution.experience import Experience
from ecc_fed.evolution.loop import learn
from ecc_fed.evolution.private_training import PrivateTraining, records
from ecc_fed.evolution.settings import LoopSettings, Services
from ecc_fed.evolution.shop_state import load_state
from ecc_fed.privacy.accounting import NoisySteps, epsilon
from ecc_fed.privacy.record_level import PrivacySettings
from tests.evolution.fakes import CountingModel, pair, services, settings, shop, truth_of, write_adapter

pytest.importorskip("opacus", reason="needs pip install 'ecc_fed[privacy]'")

# Two rounds of two steps, batches of two.
PRIVATE = PrivateTraining(4.0, PrivacySettings(4.0, delta=1e-3, clipping_norm=0.7), planned_steps=4)


def private(training: PrivateTraining = PRIVATE, **changes: object) -> LoopSettings:
    return replace(settings(**changes), private=training)


def devices(folder: Path, loop: LoopSettings, given: Services) -> ShopDevices:
    shops = [shop(num_history=12)]
    return ShopDevices(shops, truth_of(shops), given, loop, RunDirectory(folder), write_adapter, seed=0)


def model(given: Services) -> CountingModel:
    assert isinstance(given.end_model, CountingModel)
    return given.end_model


def label(name: str, reply: str) -> PseudoLabel:
    own = pair("shop_0", name)
    return PseudoLabel(own.pair_id, own.prompt, reply, "cloud-1", "low_score", 1)


def test_every_pair_is_one_record_and_an_agents_answer_goes_before_the_clouds() -> None:
    experience = Experience((pair("shop_0", "h0"), pair("shop_0", "s1")), (label("s1", "cloud"), label("s2", "cloud")))
    assert [(each.pair_id, each.reply) for each in records(experience)] == [
        ("shop_0/h0", "发圆通"), ("shop_0/s1", "发圆通"), ("shop_0/s2", "cloud"),
    ]  # fmt: skip


def test_all_rounds_together_keep_to_the_budget_and_use_it(tmp_path: Path) -> None:
    given = services()
    shops = devices(tmp_path, private(), given)
    for server_round in (1, 2):
        shops.train("shop_0", server_round, None)
    state = load_state(tmp_path / "shops" / "shop_0", 2)
    jobs = model(given).jobs
    assert [job.gradient for job in jobs] == [RecordPrivacy(0.7, each.noise_multiplier) for each in state.noisy_steps]
    assert [len(job.examples) for job in jobs] == [round(2 / each.sampling_rate) for each in state.noisy_steps]
    assert len({example.prompt for example in jobs[1].examples}) == len(jobs[1].examples), "each record once"
    assert [each.steps for each in state.noisy_steps] == [2, 2]
    spent = epsilon(state.noisy_steps, 1e-3)
    assert 0.97 * 4.0 <= spent <= 4.0
    assert state.metrics[-1].epsilon == spent and state.metrics[0].epsilon == epsilon(state.noisy_steps[:1], 1e-3)


def test_rounds_stop_where_the_planned_steps_are_taken(tmp_path: Path) -> None:
    shops = devices(tmp_path, private(replace(PRIVATE, planned_steps=3)), services())
    for server_round in (1, 2):
        shops.train("shop_0", server_round, None)
    state = load_state(tmp_path / "shops" / "shop_0", 2)
    assert [each.steps for each in state.noisy_steps] == [2, 1]
    assert [row.steps for row in state.metrics] == [2, 1]


def test_memory_is_measured_with_a_gradient_for_every_record(tmp_path: Path) -> None:
    job = devices(tmp_path, private(), services()).trial_job()
    assert job is not None and isinstance(job.gradient, RecordPrivacy) and job.gradient.per_example
    assert job.gradient.clipping_norm == 0.7 and len(job.examples) == 2
    plain = devices(tmp_path, settings(), services()).trial_job()
    assert plain is not None and plain.gradient is None


def test_a_fresh_process_knows_what_was_spent(tmp_path: Path) -> None:
    for name, stops in (("whole", False), ("parts", True)):
        shops = devices(tmp_path / name, private(), services())
        shops.train("shop_0", 1, None)
        shops = devices(tmp_path / name, private(), services()) if stops else shops
        shops.train("shop_0", 2, None)
    whole, parts = (load_state(tmp_path / name / "shops" / "shop_0", 2) for name in ("whole", "parts"))
    assert whole.noisy_steps == parts.noisy_steps and len(whole.noisy_steps) == 2


def test_a_warm_start_is_paid_from_the_same_budget(tmp_path: Path) -> None:
    given, training = services(), replace(PRIVATE, planned_steps=9)
    loop = private(training)
    warm = replace(loop.evolution.warm_start, steps=5)
    loop = replace(loop, evolution=replace(loop.evolution, warm_start=warm))
    shops = [shop(num_history=12)]
    generated = {"shop_0": (label("h3", "cloud"), label("x", "cloud"))}
    device = ShopDevices(
        shops, truth_of(shops), given, loop, RunDirectory(tmp_path), write_adapter, 0, generated=generated
    )
    for server_round in (1, 2):
        device.train("shop_0", server_round, None)
    spent = load_state(tmp_path / "shops" / "shop_0", 2).noisy_steps
    assert [each.steps for each in spent] == [5, 2, 2]
    assert spent[0].sampling_rate == 2 / 13, "the history and the one label that is not of it"
    assert 0.97 * 4.0 <= epsilon(spent, 1e-3) <= 4.0


def test_training_stops_where_the_runs_steps_are_taken() -> None:
    given = services()
    adapter = given.end_model.new_adapter(0)
    experience = Experience(tuple(pair("shop_0", f"h{i}") for i in range(12)))
    three = (NoisySteps(2.0, 0.1, 3),)
    last = learn(experience, adapter, None, private(), given, 0, spent=three)
    assert last.noisy is not None and last.noisy.steps == 1 and len(last.losses) == 1
    after = learn(experience, adapter, None, private(), given, 0, spent=(*three, last.noisy))
    assert after.losses == () and after.adapter is adapter and after.noisy is None and len(model(given).jobs) == 1


def test_what_goes_up_does_not_count_the_records(tmp_path: Path) -> None:
    update = devices(tmp_path, private(), services()).train("shop_0", 1, None)
    assert update.num_examples == 4 and update.metrics == {}


def test_noise_repeats_with_the_seed_or_never() -> None:
    seeded, drawn = PRIVATE, replace(PRIVATE, settings=replace(PRIVATE.settings, seeded_noise=False))
    assert seeded.seed(7) == seeded.seed(7) != seeded.seed(8)
    assert drawn.seed(7) != drawn.seed(7)


def test_a_budget_that_cannot_be_kept_is_refused_by_name() -> None:
    tuning = FineTuneSettings(steps=5000, batch_size=8)
    impossible = PrivateTraining(0.01, PrivacySettings(0.01, delta=1e-3), 5000)
    with pytest.raises(ConfigError, match=r"privacy\.epsilon=0\.01 cannot be kept over 5000 steps.*100% of 4 records"):
        impossible.next_steps((), 4, tuning)
    # One part in 1,010, rounded, would be what was refused.
    said = r"privacy\.delta=0\.001 is too large for a shop of 101 records.*delta=0\.0001\."
    with pytest.raises(ConfigError, match=said):
        PRIVATE.next_steps((), 101, tuning)
    assert PRIVATE.next_steps((), 100, FineTuneSettings(steps=2, batch_size=2)) is not None
