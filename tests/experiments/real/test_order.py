"""Orders of arms, against scipy and on made-up runs."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau

from ecc_fed.core.errors import UserError
from ecc_fed.core.rows import SampleRow, read_rows, write_rows
from ecc_fed.reporting.measures import BY_NAME
from experiments.real import order as command
from experiments.real.order import agreement, tau_b
from tests.reporting.conftest import write_run

CHRF = BY_NAME["chrf"]


def test_tau_is_scipys_with_ties_and_without():
    rng = np.random.default_rng(0)
    for points in (3, 5, 8):
        for levels in (2, 4, 100):
            left, right = rng.integers(0, levels, (2, 40, points)).astype(float)
            ours = tau_b(left, right)
            theirs = [kendalltau(one, other).statistic for one, other in zip(left, right, strict=True)]
            np.testing.assert_allclose(ours, theirs, atol=1e-12)


def study(root, levels, spread=1.0, nats=None, seeds=(0, 1)):
    """A study whose arms have these mean chrF, and as many dialogues as there are."""
    for arm, level in levels.items():
        for seed in seeds:
            folder = write_run(
                root / f"{arm}{seed}", arm, seed, shops=2, queries=30, judged=False, facts=False
            )  # fmt: skip
            draws = np.random.default_rng([seed, len(arm)])
            rows = [
                replace(row, chrf=level + spread * draws.normal(), nll_nats=(nats or {}).get(arm))
                for row in read_rows(folder / "samples.jsonl", SampleRow)
            ]
            write_rows(folder / "samples.jsonl", rows)
    return root


def compared(left, right, measure=CHRF):
    return agreement(command._arms(left), command._arms(right), (measure, measure))


LEVELS = {"none": 10.0, "local": 40.0, "aggregated": 20.0, "personalized": 30.0}


def test_far_apart_arms_in_the_same_order_agree_for_sure(tmp_path):
    left = study(tmp_path / "a", LEVELS)
    right = study(tmp_path / "b", {arm: 2 * level for arm, level in LEVELS.items()})
    found = compared(left, right)
    assert (found.tau, found.low, found.high) == (1, 1, 1)
    assert found.text == (
        "chrF: of 4 arms (6 pairs) the two studies' orders are the same (tau-b +1.00 [+1.00, +1.00]). First study: "
        "local, personalized, aggregated, none. Second: local, personalized, aggregated, none."
    )


def test_the_other_way_round_is_minus_one(tmp_path):
    left = study(tmp_path / "a", LEVELS)
    right = study(tmp_path / "b", {arm: -level for arm, level in LEVELS.items()})
    assert "are opposite (tau-b -1.00" in compared(left, right).text


def test_arms_that_hardly_differ_give_a_wide_interval(tmp_path):
    left = study(tmp_path / "a", dict.fromkeys(LEVELS, 20.0), spread=10)
    right = study(tmp_path / "b", LEVELS)
    found = compared(left, right)
    assert found.high - found.low > 0.5


def test_lower_perplexity_is_better(tmp_path):
    nats = {"none": 30.0, "local": 10.0, "aggregated": 20.0}
    left = study(tmp_path / "a", LEVELS, nats=nats)
    found = compared(left, left, BY_NAME["perplexity"])
    assert found.left.best_first == ("local", "aggregated", "none")
    across = agreement(command._arms(left), command._arms(left), (BY_NAME["perplexity"], CHRF))
    assert across.tau == 1
    assert "Perplexity per character and chrF: of 3 arms (3 pairs)" in across.text


def test_too_few_common_arms_are_refused(tmp_path):
    left = study(tmp_path / "a", {"none": 1.0, "local": 2.0, "aggregated": 3.0}, seeds=(0,))
    right = study(tmp_path / "b", {"none": 1.0, "local": 2.0, "personalized": 3.0}, seeds=(0,))
    with pytest.raises(UserError, match=r"share 2 arms with chrf \(none, local\)"):
        compared(left, right)


def test_a_study_of_two_settings_has_no_one_order(tmp_path):
    for name in ("one", "other"):
        for arm in ("none", "local"):
            write_run(tmp_path / "a" / f"{arm}_{name}", arm, 0, config=f"strategy:\n  name: {name}\n")
    with pytest.raises(UserError, match="several settings"):
        command._arms(tmp_path / "a")


def test_a_measure_that_no_arm_has_is_refused(tmp_path):
    left = study(tmp_path / "a", LEVELS, seeds=(0,))
    with pytest.raises(UserError, match="No query has perplexity"):
        compared(left, left, BY_NAME["perplexity"])


def test_the_command_says_it_in_words(tmp_path, capsys):
    left = study(tmp_path / "a", LEVELS, nats=LEVELS, seeds=(0,))
    assert command.main([str(left), str(left)]) == 0
    chrf, perplexity = capsys.readouterr().out.splitlines()
    assert chrf.startswith("chrF: of 4 arms") and perplexity.startswith("Perplexity per character: of 4 arms")
    assert command.main([str(left), str(left), "--measure", "chrf", "perplexity"]) == 0
    assert "are opposite" in capsys.readouterr().out
    assert command.main([str(left), str(tmp_path / "nowhere")]) == 1
    assert "is no folder" in capsys.readouterr().err
