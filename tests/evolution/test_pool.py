"""All shops on one device: who is served what, who learns, and what a killed pool does again."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecc_fed.core.records import FineTuneSettings, Shop
from ecc_fed.core.run_directory import RunDirectory, read_jsonl
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.evolution.pool import POOL, PooledDevices, Present
from ecc_fed.evolution.shop_state import ShopState, load_state
from tests.evolution.fakes import NAMES, CountingModel, services, settings, shop, truth_of, write_adapter

SHOPS = [shop("a", 4, 8, 3), shop("b", 2, 4, 2), shop("c", 0, 0, 1)]


def devices(folder: Path, shops: Sequence[Shop] = SHOPS, **changes: object) -> ShopDevices:
    loop = settings(human_share=0.5, **changes)
    return ShopDevices(shops, truth_of(shops), services(), loop, RunDirectory(folder), write_adapter, seed=0)


def pool(
    folder: Path, present: Present | None = None, shops: Sequence[Shop] = SHOPS, **changes: object
) -> PooledDevices:
    names = [each.shop_id for each in shops]
    return PooledDevices(devices(folder, shops, **changes), present or (lambda server_round: names))


def states(folder: Path, server_round: int, names: str = "abc") -> list[ShopState]:
    return [load_state(folder / "shops" / name, server_round) for name in names]


def jobs(pooled: PooledDevices | ShopDevices) -> list:
    owner = pooled._devices if isinstance(pooled, PooledDevices) else pooled
    assert isinstance(owner.services.end_model, CountingModel)
    return owner.services.end_model.jobs


def test_one_training_on_what_every_shop_would_have_learned_in_its_first_round_by_itself(tmp_path: Path) -> None:
    apart, together = devices(tmp_path / "apart"), pool(tmp_path / "together")
    own = [apart.train(name, 1, None) for name in "abc"]
    update = together.train(POOL, 1, None)
    (job,) = jobs(together)
    local = jobs(apart)
    assert len(local) == 2, "the third shop has nothing to learn from"
    assert job.examples == local[0].examples + local[1].examples
    assert job.settings.steps == 2 * local[0].settings.steps, "the sum of the shops' steps"
    assert job.decay_steps == 3 * local[0].decay_steps
    assert update.num_examples == sum(each.num_examples for each in own)
    assert (update.shop_id, update.adapter) == (POOL, {})
    found = states(tmp_path / "together", 1)
    assert all(np.array_equal(each.adapter[name], found[0].adapter[name]) for each in found for name in NAMES)
    assert [sum(row.steps for row in each.metrics) for each in found] == [2, 2, 0]
    alone = states(tmp_path / "apart", 1)
    for each, other in zip(found, alone, strict=True):
        assert (each.pseudo_labels, each.natural_ids, each.served) == (
            other.pseudo_labels,
            other.natural_ids,
            other.served,
        )
    together.train(POOL, 2, None)
    assert float(jobs(together)[1].optimizer["step"]) == 4, "one optimizer goes on"


def test_the_pool_of_one_shop_is_that_shop(tmp_path: Path) -> None:
    one = SHOPS[:1]
    apart, together = devices(tmp_path / "apart", one, cycles=2), pool(tmp_path / "together", shops=one, cycles=2)
    for server_round in (1, 2):
        apart.train("a", server_round, None)
        together.train(POOL, server_round, None)
    told = [
        [(job.examples, job.settings, job.seed, job.decay_steps) for job in jobs(each)] for each in (apart, together)
    ]
    assert told[0] == told[1]
    for device, name in ((apart, "a"), (together, POOL)):
        for phase in ("base", "final"):
            device.evaluate(name, 2, None, phase)
    for phase in ("base", "final"):
        rows = [
            read_jsonl(tmp_path / each / "shops/a" / f"evaluation_{phase}/samples.jsonl")
            for each in ("apart", "together")
        ]
        assert rows[0] == rows[1] != []


def test_every_shop_is_tested_on_its_own_queries_by_the_one_adapter(tmp_path: Path) -> None:
    together = pool(tmp_path)
    together.evaluate(POOL, 0, None, "base")
    together.train(POOL, 1, None)
    assert together.evaluate(POOL, 1, None, "final").num_examples == 6
    for each in SHOPS:
        rows = read_jsonl(tmp_path / "shops" / each.shop_id / "evaluation_final/samples.jsonl")
        own = [row for row in rows if row["phase"] == "final"]
        assert [row["query"] for row in own] == [pair.query for pair in each.test]
        # Four steps make the counting model good: two of either shop alone would not.
        assert {row["reply"].split()[0] for row in own} == {"good"}


def test_what_goes_to_the_pool_stands_in_the_shops_ledger_once(tmp_path: Path) -> None:
    together = pool(tmp_path)
    for server_round in (1, 2):
        together.train(POOL, server_round, None)
    for each, state in zip(SHOPS, states(tmp_path, 2), strict=True):
        sent = sum(entry.num_bytes for entry in state.egress if entry.destination == "pool")
        by_id = {pair.pair_id: pair for pair in (*each.history, *each.stream)}
        texts = [(by_id[i].query, by_id[i].reply) for i in state.natural_ids]
        texts += [(label.prompt[-1].text, label.reply) for label in state.pseudo_labels]
        assert sent == sum(len(text.encode()) for pair in texts for text in pair)
        # The first entry is of what the shop had from the beginning.
        digests = [entry.digest for entry in state.egress if entry.destination == "pool"]
        had = [text for pair in each.history for text in (*(turn.text for turn in pair.prompt), pair.reply)]
        assert digests[:1] == ([hashlib.sha256("".join(had).encode()).hexdigest()[:32]] if had else [])
        assert all(digests) and len(set(digests)) == len(digests)


def test_a_pool_that_was_killed_between_two_shops_does_the_round_again(tmp_path: Path) -> None:
    whole, cut = pool(tmp_path / "whole"), pool(tmp_path / "cut")
    for each in (whole, cut):
        each.train(POOL, 1, None)
        each.train(POOL, 2, None)
    shutil.rmtree(tmp_path / "cut/shops/b/round_0002")
    again = pool(tmp_path / "cut")
    first = again.train(POOL, 2, None)
    assert len(jobs(again)) == 1
    for one, other in zip(states(tmp_path / "whole", 2), states(tmp_path / "cut", 2), strict=True):
        assert all(np.array_equal(one.adapter[name], other.adapter[name]) for name in NAMES)
        assert (one.pseudo_labels, one.num_examples, one.egress) == (
            other.pseudo_labels,
            other.num_examples,
            other.egress,
        )
    third = pool(tmp_path / "cut")
    assert third.train(POOL, 2, None) == first
    assert jobs(third) == [], "what is finished is answered from its states"


def test_a_shop_that_was_away_goes_on_from_what_the_others_have_learned(tmp_path: Path) -> None:
    rounds = {1: ["a"], 2: ["b"]}
    together = pool(tmp_path, lambda server_round: rounds[server_round])
    together.train(POOL, 1, None)
    together.train(POOL, 2, None)
    first, second = jobs(together)
    steps = first.settings.steps
    assert np.array_equal(second.adapter[NAMES[1]], first.adapter[NAMES[1]] + steps)
    assert float(second.optimizer["step"]) == steps
    together.evaluate(POOL, 2, None, "final")
    rows = read_jsonl(tmp_path / "shops/a/evaluation_final/samples.jsonl")
    assert {row["reply"].split()[0] for row in rows if row["phase"] == "final"} == {"good"}, "the newest, of shop b"
    assert pool(tmp_path / "none", lambda server_round: []).train(POOL, 1, None).num_examples == 0


@pytest.mark.parametrize("steps", [1, 3])
def test_losses_are_dealt_to_the_shops_in_turn(tmp_path: Path, steps: int) -> None:
    class Falling(CountingModel):
        def fine_tune(self, jobs):
            return [
                replace(result, losses=tuple(float(i) for i in range(len(result.losses))))
                for result in super().fine_tune(jobs)
            ]

    given = devices(tmp_path, fine_tune=FineTuneSettings(steps=steps, batch_size=2))
    given.services = replace(given.services, end_model=Falling())
    PooledDevices(given, lambda server_round: ["a", "b"]).train(POOL, 1, None)
    a, b = states(tmp_path, 1, "ab")
    assert (a.metrics[0].train_loss, b.metrics[0].train_loss) == (steps - 1, steps)
