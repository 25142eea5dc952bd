"""Who sees one round, all of them, or has friends: what each holds, and what it tells of learned texts."""

import numpy as np
import pytest

from ecc_fed.assembly.build import EMBEDDED
from ecc_fed.core.records import Example
from ecc_fed.corpus.simulator import SimulatorCorpus
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.engines.opening import open_engine
from ecc_fed.end_model.settings import EndModelSettings
from experiments.privacy import observers
from experiments.privacy.observers import ALONE, COLLUDING, SUM, Round, added, areas, federation, seen, table
from experiments.privacy.rounds import Draw, Work, draw


def test_friends_take_the_others_out_of_the_sum_and_are_left_with_the_shops_own_update() -> None:
    rng = np.random.default_rng(0)
    found = [{"x": rng.normal(size=(3, 4)).astype(np.float32)} for _ in range(7)]
    one = Round({"x": np.zeros((3, 4), np.float32)}, found)
    for place in (0, 5):
        alone, mean, left = (seen(one, place, how)["x"] for how in (ALONE, SUM, COLLUDING))
        np.testing.assert_allclose(left, alone, atol=1e-6)
        others = [found[(place + offset) % 7]["x"] for offset in range(5)]
        np.testing.assert_allclose(mean, np.mean(others, axis=0), atol=1e-6)
        assert np.abs(mean - alone).max() > 0.1


def test_rounds_begin_with_the_mean_of_the_last_and_more_of_them_tell_no_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observers, "WORK", Work("a short round", 12, 20, False))
    corpus = SimulatorCorpus(num_shops=5, platform_share=0.5, seed=3).shops()
    lengths = {Example(p.prompt, p.reply): 1 for shop in corpus for p in (*shop.history, *shop.stream)}
    whole = [draw(shop, observers.WORK, lengths, 0) for shop in corpus]
    shops = [Draw(each.shop_id, each.inside, each.outside[:12]) for each in whole]
    model = open_engine(EndModelSettings(path=str(EMBEDDED), device="cpu"), Lora(rank=4, lora_dropout=0.0))
    played = federation(model, model.new_adapter(1), shops, 2, 0)
    mean = {name: np.mean([each[name] for each in played[0].found], axis=0) for name in played[0].start}
    for name, tensor in added(played[0].start, mean).items():
        np.testing.assert_allclose(played[1].start[name], tensor, atol=1e-6)
    found = areas(model, played, shops)
    means = {key: float(np.mean(values)) for key, values in found.items()}
    assert means[ALONE, "all rounds"] > 0.8 and means[ALONE, "first round"] > 0.7
    assert means[SUM, "first round"] < means[ALONE, "first round"] - 0.05, "a sum of five hides some of it"
    np.testing.assert_allclose(found[COLLUDING, "last round"], found[ALONE, "last round"], atol=0.02)
    assert "| the mean of 5 | plain |" in table({"plain": found}, 0)
