"""What of a run's config reaches the parts that are built from it."""

from dataclasses import replace

import pytest

from ecc_fed.assembly.build import build_settings
from ecc_fed.assembly.compose import compose_run, to_run_config


@pytest.mark.parametrize(("rounds", "cycles", "steps"), [(4, 1, 50), (2, 3, 5), (1, 1, 7)])
def test_the_learning_rate_decays_over_all_cycles_of_all_rounds(rounds: int, cycles: int, steps: int) -> None:
    given = [f"evolution.server_rounds={rounds}", f"evolution.cycles={cycles}", f"finetune.steps={steps}"]
    tuned = build_settings(to_run_config(compose_run(given))).fine_tune
    assert (tuned.steps, tuned.decay_steps) == (steps, rounds * cycles * steps)
    constant = build_settings(to_run_config(compose_run([*given, "finetune.linear_decay=false"]))).fine_tune
    assert constant == replace(tuned, decay_steps=None)
