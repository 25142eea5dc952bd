"""A device under a truth that tells who reads it, and under truths that lie: the cloud notices nothing of either."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pytest

from ecc_fed.core.records import Feedback, OrderRecord, Pair, Shop
from ecc_fed.core.run_directory import RunDirectory, read_jsonl
from ecc_fed.core.truth import Fact, PrivateValue, ShopTruth, Truth
from ecc_fed.corpus.simulator import SimulatorCorpus
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.evolution.settings import Services
from ecc_fed.judging.feedback import SimulatedFeedback
from ecc_fed.privacy.redaction.redactors import OrderRecordRedaction
from tests.evolution import fakes
from tests.teacher.fakes import ScriptedTeacher, StarRedactor, gateway

SHOP = "shop_0000"
CORPUS = SimulatorCorpus(num_shops=1, pairs_per_shop=30, test_pairs_per_shop=12, customers_without_record=0.3, seed=4)
# Whoever writes down how right replies were, and played customers.
MAY_READ = {
    "ecc_fed.evolution.sample_rows",
    "ecc_fed.evolution.served_facts",
    "ecc_fed.evolution.others_replies",
    "ecc_fed.judging.feedback",
}


class Watched:
    """A Truth that notes the module of whoever reads it."""

    def __init__(self, truth: Truth, readers: set[str]) -> None:
        self._truth, self._readers = truth, readers

    def __getattr__(self, name: str) -> object:
        self._readers.add(sys._getframe(1).f_globals["__name__"])
        return getattr(self._truth, name)


class LookingUp(StarRedactor):
    """Replaces what the order record tells, and notes what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.known: list[object] = []

    def redact(self, turns, known):
        self.known.append(known)
        return super().redact(turns, known)


class ByRecord(OrderRecordRedaction):
    """The redactor of `redaction=order_record`, which notes what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple] = []
        self.known: list[object] = []

    def redact(self, turns, known):
        self.seen.append(tuple(turns))
        self.known.append(known)
        return super().redact(turns, known)


@dataclass
class Sent:
    """Everything that left, and what the redactor was given."""

    prompts: list[str]
    bytes_by_kind: list[tuple[str, int]]
    redacted: list[tuple]
    known: list[object]


def run(
    folder: Path,
    shop: Shop,
    truth: ShopTruth,
    feedback: object,
    reference: str = "always",
    looking_up: type[LookingUp | ByRecord] = LookingUp,
) -> Sent:
    """Two rounds and both evaluations."""
    teacher, redactor = ScriptedTeacher(), looking_up()
    cloud, ledger, _ = gateway(teacher, redactor=redactor, max_parallel=1)
    given = replace(fakes.services(), gateway=cloud, ledger=ledger, feedback=feedback)
    assert isinstance(given, Services)
    loop = fakes.settings(teacher_examples=8, reference=reference)
    device = ShopDevices([shop], {SHOP: truth}, given, loop, RunDirectory(folder), fakes.write_adapter, seed=0)
    device.evaluate(SHOP, 0, None, "base")
    for server_round in (1, 2):
        device.train(SHOP, server_round, None)
    device.evaluate(SHOP, 2, None, "final")
    egress = [read_jsonl(path) for path in sorted(folder.rglob("*egress.jsonl"))]
    kinds = [(row["kind"], row["num_bytes"]) for rows in egress for row in rows]
    return Sent(teacher.sent, kinds, redactor.seen, redactor.known)


@pytest.fixture(scope="module")
def told() -> tuple[Shop, dict[str, Truth]]:
    return CORPUS.tell(SHOP)


@pytest.fixture(scope="module")
def as_it_is(told, tmp_path_factory) -> Sent:
    return run(tmp_path_factory.mktemp("plain"), *told, SimulatedFeedback(noise=0.0))


def test_only_evaluation_and_played_customers_read_the_truth(told, tmp_path: Path, as_it_is: Sent) -> None:
    shop, truth = told
    readers: set[str] = set()
    watched = {pair_id: Watched(about, readers) for pair_id, about in truth.items()}
    assert run(tmp_path, shop, watched, SimulatedFeedback(noise=0.0)) == as_it_is
    assert readers == MAY_READ


LIE = Truth(
    "lie",
    "lie/ask/0",
    (Fact("lie", "lie", "shop", ("谎言",), ("真话",)),),
    tuple(PrivateValue("name", sign, ("query",)) for sign in "的了是我你吗呢亲在有"),
)


@pytest.mark.parametrize("lies", ["every pair", "no pair"])
def test_another_truth_sends_the_same_bytes(told, tmp_path: Path, as_it_is: Sent, lies: str) -> None:
    shop, truth = told
    other = dict.fromkeys(truth, LIE) if lies == "every pair" else {}
    assert run(tmp_path, shop, other, SimulatedFeedback(noise=0.0)) == as_it_is


def test_the_order_record_redacts_alike_under_every_truth(told, tmp_path: Path) -> None:
    shop, truth = told
    sent = [
        run(tmp_path / name, shop, about, SimulatedFeedback(noise=0.0), looking_up=ByRecord)
        for name, about in {"true": truth, "lies": dict.fromkeys(truth, LIE), "nothing": {}}.items()
    ]
    assert sent[0] == sent[1] == sent[2]
    prompts = "\n".join(sent[0].prompts)
    said = [
        value.value
        for pair in (*shop.history, *shop.stream, *shop.test)
        if pair.customer is not None
        for value in truth[pair.pair_id].private_values
    ]
    assert said and not [value for value in said if value in prompts]


def test_the_cloud_is_sent_what_the_order_records_let_through(told, as_it_is: Sent) -> None:
    """The look-up redactor finds what the records hold; whoever has no record goes unredacted, as in a real shop."""
    shop, truth = told
    pairs = (*shop.history, *shop.stream, *shop.test)
    assert as_it_is.known and {None, *(pair.customer for pair in pairs)} >= set(as_it_is.known)
    sent = "\n".join(as_it_is.prompts)
    said = {
        (value.value, pair.customer is not None)
        for pair in (*shop.stream, *shop.test)
        for value in truth[pair.pair_id].private_values
        if "query" in value.said_in
    }
    assert {recorded for _, recorded in said} == {True, False}, "the dialogues show both cases"
    assert all((value in sent) != recorded for value, recorded in said)


def test_what_a_customer_never_said_is_known_all_the_same(told) -> None:
    shop, truth = told
    silent = [p for p in (*shop.stream, *shop.test) if p.customer and not truth[p.pair_id].private_values]
    assert silent and all(len(pair.customer.values()) == len(fields(OrderRecord)) for pair in silent)


def test_played_customers_get_the_truth_of_their_own_pair(told, tmp_path: Path) -> None:
    shop, truth = told
    heard: list[tuple[str, Truth | None]] = []

    class Notes:
        def feedback(
            self, pairs: Sequence[Pair], truths: Sequence[Truth | None], replies: Sequence[str], seed: int
        ) -> list[Feedback | None]:
            heard.extend((pair.pair_id, about) for pair, about in zip(pairs, truths, strict=True))
            return [None] * len(pairs)

    known = {pair_id: about for pair_id, about in truth.items() if not pair_id.endswith("3")}
    run(tmp_path, shop, known, Notes())
    assert heard == [(pair.pair_id, known.get(pair.pair_id)) for pair in shop.stream]
    assert any(about is None for _, about in heard)
