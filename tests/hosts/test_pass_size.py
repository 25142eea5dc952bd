"""How many tokens a pass of fine-tuning takes, from three measured trial steps."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import FineTuneSettings
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.hosts.batch_size import BatchSize, choose_batch_size
from ecc_fed.hosts.meters import GpuMeter, HostMeter
from ecc_fed.hosts.pass_size import FEWEST_TOKENS, MOST_TOKENS, measured_passes
from tests.evolution import fakes

MIB = 2**20
FIXED, SHOP, TOKEN = 5000 * MIB, 40 * MIB, 2 * MIB


class Measured(fakes.CountingModel):
    """Takes memory as a card's end model does."""

    def __init__(self, longest: int = 100) -> None:
        super().__init__()
        self.training_tokens: int | None = None
        self.longest, self.trials, self.fine_tuned = longest, [], 0

    measures_passes = True

    def job_tokens(self, job):
        return self.longest

    def trial_pass(self, job, shops, tokens):
        self.trials.append((shops, tokens))

    def fine_tune(self, jobs):
        self.fine_tuned += 1
        return super().fine_tune(jobs)


class Exact:
    """Counts what `Measured` says."""

    budget_reason = "of a test"
    exact = True

    def __init__(self, model: Measured, budget_bytes: float, hard: bool = False) -> None:
        self.model, self.budget_bytes, self.hard = model, int(budget_bytes), hard

    def peak_bytes(self, call):
        call()
        shops, tokens = self.model.trials[-1]
        peak = FIXED + SHOP * shops + TOKEN * tokens
        if self.hard and peak > self.budget_bytes:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return peak


def device(num_shops: int, model: Measured, steps: int = 3) -> ShopDevices:
    shops = [fakes.shop(f"shop_{i}", num_history=2, num_stream=2) for i in range(num_shops)]
    loop = fakes.settings(fine_tune=FineTuneSettings(steps=steps, batch_size=3))
    given = replace(fakes.services(), end_model=model)
    return ShopDevices(shops, {}, given, loop, RunDirectory(Path("none")), fakes.write_adapter, seed=0)


def chosen(num_shops, budget_bytes, longest=100, wanted=None, kept=None, hard=False):
    model = Measured(longest)
    size = choose_batch_size(device(num_shops, model), wanted, Exact(model, budget_bytes, hard), kept)
    assert model.fine_tuned == 0
    if size.pass_tokens is not None and kept is None:
        assert FIXED + SHOP * size.size + TOKEN * max(size.pass_tokens, longest) <= budget_bytes
    return size, model


def test_all_shops_where_they_fit_and_a_pass_takes_what_is_left():
    size, model = chosen(6, FIXED + 6 * SHOP + 2100 * TOKEN)
    assert (size.size, size.pass_tokens, model.training_tokens) == (6, 2048, 2048)
    assert size.reason == (
        "6 shops fit, and passes of 2048 tokens: the base takes 4.88 GiB, a shop 40.0 MiB and a token of a pass 2.000 "
        "MiB; the budget is 9.22 GiB (of a test)"
    )
    # Small passes, so that measuring needs no more memory than the work.
    assert model.trials == [(1, 256), (1, 768), (4, 256)]


def test_a_pass_is_never_larger_than_gains_by_it():
    assert chosen(6, FIXED + 100_000 * TOKEN)[0].pass_tokens == MOST_TOKENS


@pytest.mark.parametrize("fit", [64, 65, 100, 127])
def test_shops_are_rounded_down_to_a_power_of_two_and_leave_a_pass_its_room(fit):
    size, _ = chosen(128, FIXED + fit * SHOP + FEWEST_TOKENS * TOKEN)
    assert (size.size, size.pass_tokens) == (64, 2048 if fit == 127 else 1024)


def test_a_small_difference_of_memory_changes_nothing():
    sizes = {chosen(128, FIXED + 70 * SHOP + 1500 * TOKEN + more)[0].size for more in (0, MIB, 3 * MIB)}
    assert sizes == {64}


def test_the_longest_step_fits_whatever_its_length():
    """It is never split: one shop, and a pass as long as it."""
    size, _ = chosen(8, FIXED + SHOP + 3015 * TOKEN, longest=3000)
    assert (size.size, size.pass_tokens) == (1, 3000)


def test_shops_of_the_users_number_are_held_to_it():
    size, _ = chosen(8, FIXED + 4 * SHOP + 600 * TOKEN, wanted=4)
    assert (size.size, size.pass_tokens) == (4, 512)
    assert size.reason.startswith("runtime.shops_per_batch=4; 4 shops fit")
    assert chosen(3, FIXED + 4 * SHOP + 600 * TOKEN, wanted=4)[0].size == 3
    with pytest.raises(ConfigError, match=r"Of runtime.shops_per_batch=4 only 3 fit: .*Lower it"):
        chosen(8, FIXED + 3 * SHOP + 101 * TOKEN, wanted=4)


def test_what_does_not_fit_is_refused_before_anything_is_trained():
    with pytest.raises(ConfigError, match=r"Not even one shop fits, whose longest step has 900 tokens: .*gpu_memory"):
        chosen(8, FIXED + SHOP + 800 * TOKEN, longest=900)
    with pytest.raises(ConfigError, match=r"A trial step of 768 tokens runs out of memory \(CUDA .*nf4"):
        chosen(8, FIXED + SHOP + 500 * TOKEN, hard=True)


def test_a_run_that_goes_on_keeps_its_passes_and_one_of_before_has_none():
    kept = BatchSize(4, "4 shops fit", 2048)
    for wanted in (None, 4):
        size, model = chosen(8, FIXED, wanted=wanted, kept=kept)
        assert (size.size, size.pass_tokens, model.training_tokens, model.trials) == (4, 2048, 2048, [])
    size, model = chosen(8, FIXED, kept=replace(kept, pass_tokens=None))
    assert (size.pass_tokens, model.training_tokens, model.trials) == (None, None, [])


def test_an_end_model_that_another_run_has_sized_is_not_left_so():
    model = Measured()
    model.training_tokens = 512
    choose_batch_size(device(2, model, steps=0), None, Exact(model, FIXED))
    assert model.training_tokens is None and model.trials == []


def test_only_what_a_meter_counts_exactly_is_measured():
    model = Measured()
    assert measured_passes(model, GpuMeter(2**30)) is model
    assert measured_passes(model, HostMeter(1.0, 1)) is None
    model.measures_passes = False
    assert measured_passes(model, GpuMeter(2**30)) is None
    assert measured_passes(fakes.CountingModel(), GpuMeter(2**30)) is None
