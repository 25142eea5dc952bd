"""The warm start: which rows, in which ratio, from which seed, and what stays as it was."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecc_fed.core.aggregation import LORA_B, Exchange
from ecc_fed.core.errors import CorpusError
from ecc_fed.core.records import Example, FineTuneSettings, PseudoLabel, Turn
from ecc_fed.core.rows import MetricRow
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.core.seeding import derive_seed
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.evolution.settings import Services, WarmStartSettings
from ecc_fed.evolution.shop_state import finished_rounds, load_state
from ecc_fed.evolution.warm_start import own_rows, shared_rows
from ecc_fed.teacher.distillation.generated import Generated
from tests.evolution.fakes import NAMES, CountingModel, services, settings, shop, write_adapter

SHOP = shop()


def rows(shop_id: str = "shop_0", count: int = 5) -> list[Generated]:
    pairs = (*shop(shop_id).history, *shop(shop_id).stream)[:count]
    return [Generated(shop_id, pair.pair_id, pair.prompt, f"cloud {pair.query}", "cloud-1") for pair in pairs]


def warm(steps: int = 4, share: float = 0.25) -> WarmStartSettings:
    return WarmStartSettings("set", share, steps)


def device(folder: Path, given: Services, warm_start: WarmStartSettings | None, seed: int = 0) -> ShopDevices:
    loop = settings(fine_tune=FineTuneSettings(steps=2, batch_size=4), warm_start=warm_start or WarmStartSettings())
    generated = None if warm_start is None else {"shop_0": shared_rows(rows())}
    return ShopDevices([SHOP], {}, given, loop, RunDirectory(folder), write_adapter, seed, generated=generated)


def first_job(tmp_path: Path, warm_start: WarmStartSettings, seed: int = 0):
    given = services()
    device(tmp_path, given, warm_start, seed).train("shop_0", 1, None)
    assert isinstance(given.end_model, CountingModel)
    return given.end_model.jobs[0]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.25, 4), (0.5, 8), (1.0, 16)])
def test_the_declared_share_of_examples_is_generated(tmp_path: Path, share: float, expected: int) -> None:
    job = first_job(tmp_path, warm(share=share))
    generated = [example for example in job.examples if example.reply.startswith("cloud")]
    assert (len(job.examples), len(generated)) == (16, expected)
    history = {(pair.prompt, pair.reply) for pair in SHOP.history}
    assert all((e.prompt, e.reply) in history for e in job.examples if e not in generated)
    assert job.optimizer is None


def test_what_does_not_train_in_the_first_round_stays_as_it_was_drawn(tmp_path: Path) -> None:
    """So that a factor that a method freezes is the same in every shop, also after a warm start of each one's own."""
    given = services()
    device(tmp_path, given, warm()).train("shop_0", 1, None, Exchange(LORA_B, LORA_B))
    assert isinstance(given.end_model, CountingModel)
    assert [job.trained for job in given.end_model.jobs] == [LORA_B, LORA_B]


def test_its_learning_rate_decays_over_its_own_steps(tmp_path: Path) -> None:
    given = services()
    device(tmp_path, given, warm(steps=4)).train("shop_0", 1, None)
    assert isinstance(given.end_model, CountingModel)
    first, then = given.end_model.jobs
    assert (first.settings.steps, first.decay_steps) == (4, 4)
    assert (then.settings.steps, then.decay_steps) == (2, 2 * 1 * 2)
    # However many cycles a round of the run has.
    loop = settings(fine_tune=FineTuneSettings(steps=2, batch_size=4), warm_start=warm(steps=4), cycles=3)
    generated = {"shop_0": shared_rows(rows())}
    shops = ShopDevices([SHOP], {}, given, loop, RunDirectory(tmp_path / "b"), write_adapter, 0, generated=generated)
    shops.train("shop_0", 1, None)
    assert [job.decay_steps for job in given.end_model.jobs[2:]] == [4, 12, 12, 12]
    assert first.settings == replace(then.settings, steps=4)


def test_the_same_seed_draws_the_same_and_another_others(tmp_path: Path) -> None:
    a, b, c = (first_job(tmp_path / name, warm(), seed) for name, seed in (("a", 3), ("b", 3), ("c", 4)))
    assert (a.examples, a.seed) == (b.examples, b.seed)
    assert a.examples != c.examples and a.seed != c.seed


def test_it_comes_before_round_one_and_only_once(tmp_path: Path) -> None:
    given = services()
    shops = device(tmp_path, given, warm())
    shops.train("shop_0", 1, None)
    folder = tmp_path / "shops" / "shop_0"
    assert finished_rounds(folder) == [0, 1]
    assert float(load_state(folder, 0).adapter[NAMES[1]][0, 0]) == 4
    assert float(load_state(folder, 1).adapter[NAMES[1]][0, 0]) == 6
    optimizer = load_state(folder, 1).optimizer
    assert optimizer is not None and float(optimizer["step"]) == 2, "the rounds' schedule starts with round 1"
    shops.train("shop_0", 2, None)
    state = load_state(folder, 2)
    assert [(row.split, row.steps) for row in state.metrics] == [("warm_start", 4), ("stream", 2), ("stream", 2)]


def test_its_row_of_metrics_tells_what_was_learned_and_that_nobody_was_served(tmp_path: Path) -> None:
    device(tmp_path, services(), warm()).train("shop_0", 1, None)
    row = load_state(tmp_path / "shops" / "shop_0", 0).metrics[0]
    assert row.train_seconds >= 0
    assert row == MetricRow(
        server_round=0,
        cycle=0,
        shop_id="shop_0",
        split="warm_start",
        served=0,
        escalated=0,
        unhappy=0,
        mean_score=None,
        pseudo_labels=0,
        natural_pairs=0,
        train_loss=1.0,
        steps=4,
        teacher_requests=0,
        teacher_cached=0,
        teacher_failed=0,
        teacher_errors=(),
        input_tokens=0,
        output_tokens=0,
        cost_usd=0.0,
        serve_seconds=0.0,
        train_seconds=row.train_seconds,
    )
    device(tmp_path / "none", services(), warm(steps=0)).train("shop_0", 1, None)
    row = load_state(tmp_path / "none" / "shops" / "shop_0", 0).metrics[0]
    assert (row.steps, row.train_loss) == (0, None)


def test_its_draws_have_their_stream_and_its_rows_their_place_in_the_trial(tmp_path: Path) -> None:
    given = services()
    longest = PseudoLabel("p", (Turn("customer", "z" * 99),), "cloud", "m", "distilled", 0)
    generated = {"shop_0": (*shared_rows(rows()), longest)}
    loop = settings(fine_tune=FineTuneSettings(steps=2, batch_size=4), warm_start=warm())
    shops = ShopDevices([SHOP], {}, given, loop, RunDirectory(tmp_path), write_adapter, seed=7, generated=generated)
    job = shops.trial_job()
    assert job is not None and job.examples[0] == Example(longest.prompt, "cloud")
    assert {example.reply for example in job.examples[1:]} == {"cloud q h0", "cloud q h1", "cloud q h2"}
    short = ShopDevices(
        [SHOP],
        {},
        given,
        loop,
        RunDirectory(tmp_path),
        write_adapter,
        seed=7,
        generated={"shop_0": (replace(longest, prompt=(Turn("customer", "z"),), reply="c"),)},
    ).trial_job()
    assert short is not None and {example.reply for example in short.examples} == {"发圆通"}, "its own dialogues too"
    shops.train("shop_0", 1, None)
    assert isinstance(given.end_model, CountingModel)
    seed = derive_seed(7, "warm_start", "shop_0")
    assert given.end_model.jobs[0].seed == derive_seed(seed, "fine_tune")


@pytest.mark.parametrize(("server_round", "steps"), [(1, [4, 2]), (2, [2])])
def test_a_first_round_that_was_cut_starts_warm_again_and_one_that_was_missed_does_not(
    tmp_path: Path, server_round: int, steps: list[int]
) -> None:
    """Beside other shops, its other calls would meet theirs at other times without the warm start."""
    device(tmp_path, services(), warm()).evaluate("shop_0", 0, None, "final")
    before, given = load_state(tmp_path / "shops" / "shop_0", 0), services()
    device(tmp_path, given, warm()).train("shop_0", server_round, None)
    assert isinstance(given.end_model, CountingModel)
    assert [job.settings.steps for job in given.end_model.jobs] == steps
    after = load_state(tmp_path / "shops" / "shop_0", 0)
    assert all(np.array_equal(before.adapter[name], after.adapter[name]) for name in NAMES)
    again = services()
    device(tmp_path, again, warm()).train("shop_0", server_round, None)
    assert isinstance(again.end_model, CountingModel) and again.end_model.jobs == []


def test_zero_steps_change_nothing(tmp_path: Path) -> None:
    jobs = {}
    for name, warm_start in (("without", None), ("zero", warm(steps=0))):
        given = services()
        device(tmp_path / name, given, warm_start).train("shop_0", 1, None)
        assert isinstance(given.end_model, CountingModel)
        jobs[name] = given.end_model.jobs
    a, b = jobs["without"][0], jobs["zero"][0]
    assert len(jobs["zero"]) == 1
    assert replace(a, adapter={}, anchor=None) == replace(b, adapter={}, anchor=None)
    assert all(np.array_equal(a.adapter[name], b.adapter[name]) for name in NAMES)


def test_without_rounds_the_warm_adapter_is_what_is_evaluated(tmp_path: Path) -> None:
    shops = device(tmp_path, services(), warm())
    shops.evaluate("shop_0", 0, None, "final")
    text = (tmp_path / "shops" / "shop_0" / "evaluation_final/samples.jsonl").read_text()
    assert "good q t0" in text, "four steps make this model good"


def test_an_adapter_from_the_server_is_not_warmed_over(tmp_path: Path) -> None:
    given = services()
    incoming = {NAMES[0]: np.ones((2, 3), np.float32), NAMES[1]: np.full((3, 2), 10, np.float32)}
    report = device(tmp_path, given, warm()).train("shop_0", 1, incoming)
    assert float(report.adapter[NAMES[1]][0, 0]) == 12
    assert isinstance(given.end_model, CountingModel)
    assert [job.settings.steps for job in given.end_model.jobs] == [2]
    assert finished_rounds(tmp_path / "shops" / "shop_0") == [1]


def test_a_shop_takes_its_own_rows_alone_unless_the_set_is_public() -> None:
    mixed = [*rows("shop_0", 2), *rows("shop_1", 3)]
    own = own_rows(SHOP, mixed, "set")
    assert [label.pair_id for label in own] == ["shop_0/h0", "shop_0/h1"]
    assert own[0] == PseudoLabel("shop_0/h0", SHOP.history[0].prompt, "cloud q h0", "cloud-1", "distilled", 0)
    assert len(shared_rows(mixed)) == 5


def test_rows_of_another_corpus_or_of_the_test_part_are_refused() -> None:
    public = "declare the set public with evolution.warm_start.shared=true."
    with pytest.raises(CorpusError) as caught:
        own_rows(SHOP, rows("shop_1"), "set")
    assert str(caught.value) == (
        "evolution.warm_start.path=set has no row of shop_0. Go on with the `ecc-fed distill` that wrote it, or "
        f"{public}"
    )
    test_pair = SHOP.test[0]
    tested = Generated("shop_0", test_pair.pair_id, test_pair.prompt, "cloud", "cloud-1")
    with pytest.raises(CorpusError) as caught:
        own_rows(SHOP, [*rows(), tested], "set")
    assert str(caught.value) == (
        "evolution.warm_start.path=set was made from another corpus, seed or partition: its pair shop_0/t0 is not in "
        f"the history and stream of shop_0 here. Run `ecc-fed distill` with this run's settings, or {public}"
    )
    other = replace(rows()[0], prompt=shop("other").stream[3].prompt)
    with pytest.raises(CorpusError, match="its pair shop_0/h0"):
        own_rows(SHOP, [other], "set")
