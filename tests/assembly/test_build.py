"""What of a run's config reaches the parts that are built from it."""

import pytest

from ecc_fed.assembly.build import build_settings
from ecc_fed.assembly.compose import compose_run, to_run_config


@pytest.mark.parametrize(("rounds", "cycles", "steps"), [(4, 1, 50), (2, 3, 5), (1, 1, 7)])
def test_the_learning_rate_decays_over_all_cycles_of_all_rounds(rounds: int, cycles: int, steps: int) -> None:
    given = [f"evolution.server_rounds={rounds}", f"evolution.cycles={cycles}", f"finetune.steps={steps}"]
    settings = build_settings(to_run_config(compose_run(given)))
    assert settings.fine_tune.linear_decay and settings.fine_tune.steps == steps
    assert settings.decay_steps == rounds * cycles * steps
