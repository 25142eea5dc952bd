"""A round that fails half-way is done again: what it wrote into the ledger must not count beside the repetition's."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ecc_fed.core.records import EgressEntry, FineTuneJob, FineTuneResult, Judgement
from ecc_fed.core.rows import read_rows
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.evolution.shop_state import load_state
from tests.evolution.fakes import CountingModel, PrefixJudge, services, settings, shop
from tests.evolution.test_device import device


class FailsOnce(CountingModel):
    """Fine-tunes from its second call on."""

    failed = False

    def fine_tune(self, jobs: Sequence[FineTuneJob]) -> list[FineTuneResult]:
        if not self.failed:
            self.failed = True
            raise RuntimeError("out of memory")
        return super().fine_tune(jobs)


class JudgesFailOnce(PrefixJudge):
    """Judges from its second call on."""

    failed = False

    def judge(self, queries: Sequence[str], replies: Sequence[str], cloud_replies: Sequence[str]) -> list[Judgement]:
        if not self.failed:
            self.failed = True
            raise RuntimeError("out of memory")
        return super().judge(queries, replies, cloud_replies)


def test_a_round_done_again_counts_its_egress_once(tmp_path: Path) -> None:
    undisturbed = device(tmp_path / "undisturbed", [shop()])
    given = services()
    given = replace(given, end_model=FailsOnce())
    disturbed = device(tmp_path / "disturbed", [shop()], given)
    with pytest.raises(RuntimeError):
        disturbed.train("shop_0", 1, None)
    assert given.ledger.entries("shop_0"), "the cloud was asked before the round failed"
    for name, shops in (("undisturbed", undisturbed), ("disturbed", disturbed)):
        shops.train("shop_0", 1, None)
        shops.train("shop_0", 2, None)
        assert load_state(tmp_path / name / "shops" / "shop_0", 1).egress
    expected, found = (
        load_state(tmp_path / name / "shops" / "shop_0", 2).egress for name in ("undisturbed", "disturbed")
    )
    assert found == expected
    assert [entry.server_round for entry in found] == [1] * 4 + [2] * 4
    assert given.ledger.entries() == []


def test_another_shops_egress_stays_where_it_is(tmp_path: Path) -> None:
    given = services()
    shops = device(tmp_path, [shop("a"), shop("b")], given)
    shops.train("b", 1, None)
    shops.train("a", 1, None)
    for name in ("a", "b"):
        egress = load_state(RunDirectory(tmp_path).shop(name), 1).egress
        assert {entry.shop_id for entry in egress} == {name}
        assert len(egress) == 4


def test_an_evaluation_counts_its_own_egress_once(tmp_path: Path) -> None:
    given = services()
    given = replace(given, judge=JudgesFailOnce())
    shops = device(tmp_path, [shop()], given, settings())
    for phase in ("base", "final"):
        if phase == "base":
            with pytest.raises(RuntimeError):
                shops.evaluate("shop_0", 0, None, "base")
            assert given.ledger.entries("shop_0"), "the cloud was asked before the judge failed"
        shops.evaluate("shop_0", 0, None, phase)  # type: ignore[arg-type]
        entries = read_rows(tmp_path / "shops" / "shop_0" / f"evaluation_{phase}/egress.jsonl", EgressEntry)
        assert [entry.num_bytes for entry in entries] == [len("q t0")] * 3
        assert {entry.details["purpose"] for entry in entries} == {"evaluate"}
    assert given.ledger.entries() == []
