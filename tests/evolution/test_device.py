import errno
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecc_fed.core.errors import RunDirectoryError, WriteError
from ecc_fed.core.records import (
    AdapterState,
    EgressEntry,
    Feedback,
    FineTuneSettings,
    Pair,
    ReplyRequest,
    Shop,
    TeacherReply,
    TeacherRequest,
    Turn,
)
from ecc_fed.core.rows import MetricRow, ServedFacts, read_rows
from ecc_fed.core.run_directory import RunDirectory, read_jsonl
from ecc_fed.core.seeding import derive_rng, derive_seed
from ecc_fed.core.truth import Truth
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.evolution.owner import Owner
from ecc_fed.evolution.settings import LoopSettings, Services
from ecc_fed.evolution.shop_state import ShopState, finished_rounds, load_state
from ecc_fed.evolution.stream import human_answered, natural_pairs, stream_part
from tests.evolution.fakes import (
    NAMES,
    CountingModel,
    EchoGateway,
    about,
    courier,
    pair,
    services,
    settings,
    shop,
    truth_of,
    write_adapter,
)


def device(
    tmp_path: Path, shops: list[Shop], given: Services | None = None, loop: LoopSettings | None = None
) -> ShopDevices:
    given, directory = given or services(), RunDirectory(tmp_path)
    return ShopDevices(shops, truth_of(shops), given, loop or settings(), directory, write_adapter, seed=0)


def test_stream_parts_cover_the_stream_once_in_order() -> None:
    parts = [stream_part(shop(num_stream=10), i, 3) for i in range(3)]
    assert [p for part in parts for p in part] == list(shop(num_stream=10).stream)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_human_answered_share_is_monotone_and_the_same_for_the_same_seed() -> None:
    big = shop(num_stream=400)
    few, many = human_answered(big, 0.2, 0), human_answered(big, 0.7, 0)
    assert few < many
    assert abs(len(many) / 400 - 0.7) < 0.08
    assert human_answered(big, 1.0, 0) == {p.pair_id for p in big.stream}
    assert natural_pairs(big, 0.0, 0) == big.history


def test_a_round_serves_labels_trains_and_remembers(tmp_path: Path) -> None:
    given = services()
    shops = device(tmp_path, [shop()], given, settings(human_share=0.0))
    report = shops.train("shop_0", 1, None)
    state = load_state(tmp_path / "shops" / "shop_0", 1)
    assert report.num_examples == 4
    assert state.served == 4
    assert [label.reply for label in state.pseudo_labels] == [f"cloud q s{i}" for i in range(4)]
    assert state.natural_ids == tuple(p.pair_id for p in shop().history)
    assert float(state.adapter[NAMES[1]][0, 0]) == 2.0
    assert state.optimizer is not None and float(state.optimizer["step"]) == 2.0
    assert state.metrics[0].escalated == 4
    assert sum(entry.num_bytes for entry in state.egress) == 4 * len("q s0")
    # After four steps the model is good: nothing is escalated any more.
    shops.train("shop_0", 2, None)
    shops2 = device(tmp_path, [shop()], services(), settings(server_rounds=3))
    shops2.train("shop_0", 3, None)
    assert load_state(tmp_path / "shops" / "shop_0", 3).metrics[-1].escalated == 0
    assert finished_rounds(tmp_path / "shops" / "shop_0") == [2, 3]


def test_a_fresh_process_goes_on_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    whole = device(tmp_path / "whole", [shop()])
    whole.train("shop_0", 1, None)
    whole.train("shop_0", 2, None)
    device(tmp_path / "parts", [shop()]).train("shop_0", 1, None)
    device(tmp_path / "parts", [shop()]).train("shop_0", 2, None)
    a, b = (load_state(tmp_path / name / "shops" / "shop_0", 2) for name in ("whole", "parts"))
    assert replace(a, adapter={}, optimizer=None, metrics=()) == replace(b, adapter={}, optimizer=None, metrics=())
    assert all(np.array_equal(a.adapter[name], b.adapter[name]) for name in NAMES)


def test_the_incoming_adapter_takes_the_place_of_the_shops_own(tmp_path: Path) -> None:
    shops = device(tmp_path, [shop()])
    incoming = {NAMES[0]: np.ones((2, 3), np.float32), NAMES[1]: np.full((3, 2), 10, np.float32)}
    report = shops.train("shop_0", 1, incoming)
    assert float(report.adapter[NAMES[1]][0, 0]) == 12.0


def test_one_shops_round_leaves_the_others_alone(tmp_path: Path) -> None:
    shops = device(tmp_path, [shop("a"), shop("b")])
    shops.train("a", 1, None)
    before = {p: p.read_bytes() for p in (tmp_path / "shops" / "a").rglob("*") if p.is_file()}
    shops.train("b", 1, None)
    assert before == {p: p.read_bytes() for p in (tmp_path / "shops" / "a").rglob("*") if p.is_file()}


def test_a_dead_teacher_costs_labels_not_the_round(tmp_path: Path) -> None:
    shops = device(tmp_path, [shop()], services(dead_teacher=True, verdict=False))
    shops.train("shop_0", 1, None)
    row = load_state(tmp_path / "shops" / "shop_0", 1).metrics[0]
    assert (row.teacher_failed, row.pseudo_labels, row.escalated) == (4, 0, 4)
    assert row.teacher_errors == ("unavailable: gone",)


@pytest.mark.parametrize(("reference", "expected"), [("always", 4), ("gated", 4), ("sampled", 0)])
def test_the_cost_knob_decides_who_is_asked_about(tmp_path: Path, reference: str, expected: int) -> None:
    given = services()
    loop = settings(reference=reference, reference_rate=0.0, gate_relevance=0.5)
    device(tmp_path, [shop()], given, loop).train("shop_0", 1, None)
    assert isinstance(given.gateway, EchoGateway)
    assert len(given.gateway.requests) == expected


def test_an_unhappy_customer_always_reaches_the_cloud(tmp_path: Path) -> None:
    given = services(verdict=False)
    device(tmp_path, [shop()], given, settings(reference="sampled", reference_rate=0.0)).train("shop_0", 1, None)
    assert isinstance(given.gateway, EchoGateway)
    assert len(given.gateway.requests) == 4


def test_base_rows_are_the_bare_base_and_final_rows_the_shops_own(tmp_path: Path) -> None:
    shops = device(tmp_path, [shop()])
    shops.train("shop_0", 1, None)
    shops.train("shop_0", 2, None)
    for phase in ("base", "final"):
        assert shops.evaluate("shop_0", 2, None, phase).num_examples == 3  # type: ignore[arg-type]
    base, final = (
        read_jsonl(tmp_path / "shops" / "shop_0" / f"evaluation_{phase}/samples.jsonl") for phase in ("base", "final")
    )
    assert [row["reply"] for row in base] == ["bad q t0", "bad q t1", "bad q t2"]
    assert [row["reply"] for row in final if row["phase"] == "final"] == ["good q t0", "good q t1", "good q t2"]
    assert all(row["facts"][0]["seen"] for row in base)
    assert [row["cloud_reply"] for row in base] == [row["cloud_reply"] for row in final[:3]]


def test_without_training_final_is_the_bare_base(tmp_path: Path) -> None:
    shops = device(tmp_path, [shop()])
    shops.evaluate("shop_0", 0, None, "base")
    shops.evaluate("shop_0", 0, None, "final")
    base, final = (
        read_jsonl(tmp_path / "shops" / "shop_0" / f"evaluation_{phase}/samples.jsonl") for phase in ("base", "final")
    )
    assert [{**row, "phase": ""} for row in base] == [{**row, "phase": ""} for row in final if row["phase"] == "final"]


def test_a_shop_without_test_pairs_gives_no_rows(tmp_path: Path) -> None:
    assert device(tmp_path, [shop(num_test=0)]).evaluate("shop_0", 0, None, "base").num_examples == 0


def test_a_broken_state_is_named(tmp_path: Path) -> None:
    device(tmp_path, [shop()]).train("shop_0", 1, None)
    (tmp_path / "shops" / "shop_0" / "round_0001" / "state.json").write_text("{")
    with pytest.raises(RunDirectoryError, match=r"server round 1.*fresh folder"):
        device(tmp_path, [shop()]).train("shop_0", 2, None)


def test_a_full_disk_names_the_shop_and_leaves_the_round_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shops = device(tmp_path, [shop()])
    shops.train("shop_0", 1, None)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match=r"shop_0: round 2 could not be written \(.*the disk is full"):
        shops.train("shop_0", 2, None)
    monkeypatch.undo()
    folder = tmp_path / "shops" / "shop_0"
    assert [path.name for path in folder.iterdir()] == ["round_0001"]
    assert load_state(folder, 1).server_round == 1


def test_a_killed_save_leaves_the_round_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shops = device(tmp_path, [shop()])
    shops.train("shop_0", 1, None)

    def killed(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        shops.train("shop_0", 2, None)
    monkeypatch.undo()
    assert finished_rounds(tmp_path / "shops" / "shop_0") == [1]
    assert device(tmp_path, [shop()]).train("shop_0", 2, None).num_examples == 4


def test_a_state_read_ahead_is_the_one_that_the_round_goes_on_from(tmp_path: Path, monkeypatch) -> None:
    read: list[tuple[str, int]] = []

    def noted(folder: Path, server_round: int, owner: Owner) -> ShopState:
        read.append((folder.name, server_round))
        return load_state(folder, server_round, owner)

    monkeypatch.setattr("ecc_fed.evolution.shop_state.load_state", noted)
    files = {}
    for name in ("plain", "ahead"):
        shops = device(tmp_path / name, [shop("a"), shop("b")])
        for server_round in (1, 2):
            if name == "ahead":
                shops.read_ahead({"a": server_round, "b": server_round})
                ahead = len(read)
            for shop_id in ("a", "b"):
                shops.train(shop_id, server_round, None)
        files[name] = {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file() and path.name not in ("metrics.jsonl", "digests.json")  # seconds
        }
    assert read == [("a", 1), ("b", 1)] * 2  # none twice
    assert ahead == len(read)  # and none in the second device's own rounds
    assert files["plain"] == files["ahead"]


def test_a_round_done_again_reads_what_the_first_time_left(tmp_path: Path) -> None:
    shops = device(tmp_path, [shop()])
    shops.train("shop_0", 1, None)
    shops.read_ahead({"shop_0": 2})
    shops.train("shop_0", 1, None)  # what was read ahead is for another round
    shops.train("shop_0", 2, None)
    assert load_state(tmp_path / "shops" / "shop_0", 2).served == 8
    shops.read_ahead({"shop_0": 2})
    shops.evaluate("shop_0", 2, None, "final")
    rows = read_jsonl(tmp_path / "shops" / "shop_0" / "evaluation_final/samples.jsonl")
    assert [row["reply"] for row in rows if row["phase"] == "final"] == ["good q t0", "good q t1", "good q t2"]


def test_a_damaged_state_read_ahead_is_told_in_the_shops_own_round(tmp_path: Path) -> None:
    shops = device(tmp_path, [shop("a"), shop("b")])
    for shop_id in ("a", "b"):
        shops.train(shop_id, 1, None)
    (tmp_path / "shops" / "a" / "round_0001" / "state.json").write_text("{")
    shops.read_ahead({"a": 2, "b": 2})
    with pytest.raises(RunDirectoryError, match="No readable state of server round 1"):
        shops.train("a", 2, None)
    shops.train("b", 2, None)


class Noting(CountingModel):
    """Keeps every request beside answering it."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds: list[int] = []
        self.requests: list[ReplyRequest] = []

    def new_adapter(self, seed: int) -> AdapterState:
        self.seeds.append(seed)
        return super().new_adapter(seed)

    def reply(self, requests: Sequence[ReplyRequest]) -> list[list[str]]:
        self.requests.extend(requests)
        return super().reply(requests)


def noting(**changes: object) -> tuple[Services, Noting]:
    model = Noting()
    return replace(services(**changes), end_model=model), model  # type: ignore[arg-type]


def test_every_draw_of_a_shops_life_has_its_stream(tmp_path: Path) -> None:
    # Frozen: another name here is another draw, and every published figure moves.
    given, model = noting()
    loop = settings(cycles=2, human_share=0.5)
    truth = truth_of([shop()])
    shops = ShopDevices([shop()], truth, given, loop, RunDirectory(tmp_path), write_adapter, seed=7)
    shops.train("shop_0", 1, None)
    shops.train("shop_0", 2, None)
    assert model.seeds == [derive_seed(7, "adapter")]
    cycles = [derive_seed(7, "cycle", "shop_0", server_round, cycle) for server_round in (1, 2) for cycle in (0, 1)]
    assert [request.seed for request in model.requests] == [derive_seed(seed, "reply") for seed in cycles]
    assert [job.seed for job in model.jobs] == [derive_seed(seed, "fine_tune") for seed in cycles]
    draws = derive_rng(7, "human_answered", "shop_0").random(8)
    human = {pair.pair_id for pair, draw in zip(shop().stream, draws, strict=True) if draw < 0.5}
    assert human_answered(shop(), 0.5, 7) == human and 0 < len(human) < 8
    state = load_state(tmp_path / "shops" / "shop_0", 2)
    assert state.natural_ids == tuple(
        pair.pair_id for pair in (*shop().history, *shop().stream) if pair in shop().history or pair.pair_id in human
    )
    shops.evaluate("shop_0", 2, None, "final")
    shops.evaluate("shop_0", 2, None, "base")
    final, base = model.requests[-2:]
    assert final.seed == base.seed == derive_seed(derive_seed(7, "evaluate", "shop_0"), "reply")


def test_the_cycles_of_a_round_share_its_part_of_the_stream_and_learn_one_after_the_other(tmp_path: Path) -> None:
    given, model = noting()
    loop = settings(cycles=2, human_share=1.0, teacher_examples=3)
    shops = device(tmp_path, [shop(num_stream=10)], given, loop)
    reports = [shops.train("shop_0", server_round, None) for server_round in (1, 2)]
    asked = [tuple(prompt[-1].text for prompt in request.prompts) for request in model.requests]
    assert [len(part) for part in asked] == [2, 3, 3, 2]
    assert [query for part in asked for query in part] == [pair.query for pair in shop(num_stream=10).stream]
    assert [float(request.adapter[NAMES[1]][0, 0]) for request in model.requests if request.adapter] == [0, 2, 4, 6]
    assert [None if job.optimizer is None else float(job.optimizer["step"]) for job in model.jobs] == [None, 2, 4, 6]
    assert [report.num_examples for report in reports] == [8, 8]
    # Each cycle's few shots are the newest pairs that the shop has by then.
    assert isinstance(given.gateway, EchoGateway)
    shots = [tuple(query for query, _ in request.examples) for request in given.gateway.requests]
    assert shots[0] == ("q h1", "q h2", "q h3")
    assert shots[2] == ("q h3", "q s0", "q s1")
    assert shots[-1] == ("q s5", "q s6", "q s7")
    state = load_state(tmp_path / "shops" / "shop_0", 2)
    assert (state.server_round, state.served) == (2, 10)
    assert [(row.server_round, row.cycle, row.natural_pairs) for row in state.metrics] == [
        (1, 0, 2),
        (1, 1, 3),
        (2, 0, 3),
        (2, 1, 2),
    ]


def test_a_row_of_metrics_sums_what_happened(tmp_path: Path) -> None:
    device(tmp_path, [shop()], services(verdict=False), settings(human_share=0.0)).train("shop_0", 1, None)
    (row,) = load_state(tmp_path / "shops" / "shop_0", 1).metrics
    assert min(row.serve_seconds, row.train_seconds) >= 0
    assert replace(row, serve_seconds=0.0, train_seconds=0.0) == MetricRow(
        server_round=1,
        cycle=0,
        shop_id="shop_0",
        split="stream",
        served=4,
        escalated=4,
        unhappy=4,
        mean_score=0.0,
        pseudo_labels=4,
        natural_pairs=0,
        train_loss=1.0,
        steps=2,
        teacher_requests=4,
        teacher_cached=0,
        teacher_failed=0,
        teacher_errors=(),
        input_tokens=12,
        output_tokens=8,
        cost_usd=2.0,
        serve_seconds=0.0,
        train_seconds=0.0,
    )


def test_a_row_counts_the_facts_that_replies_stated_before_the_shop_learned(tmp_path: Path) -> None:
    # After four steps the model says "good", which is what is true here; of the last two pairs only since day 2.
    stream = shop().stream
    truth = {each.pair_id: about(replace(courier("good"), since=2.0 if each in stream[6:] else 0.0)) for each in stream}
    loop = settings(fine_tune=FineTuneSettings(steps=4, batch_size=2))
    devices = ShopDevices([shop()], {"shop_0": truth}, services(), loop, RunDirectory(tmp_path), write_adapter, seed=0)
    for server_round in (1, 2):
        devices.train("shop_0", server_round, None)
    rows = load_state(tmp_path / "shops" / "shop_0", 2).metrics
    assert [row.facts for row in rows] == [ServedFacts(4, 0, 0, 0), ServedFacts(4, 4, 2, 2)]


class Cached(EchoGateway):
    """Every other answer comes from the cache."""

    def answer(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        return [replace(reply, cached=i % 2 == 1) for i, reply in enumerate(super().answer(requests))]


def test_cached_answers_cost_nothing_and_customers_who_say_nothing_are_not_unhappy(tmp_path: Path) -> None:
    given = services()
    given = replace(given, gateway=Cached(given.ledger))
    loop = settings(fine_tune=FineTuneSettings(steps=0, batch_size=2), human_share=0.0)
    device(tmp_path, [shop(num_history=0)], given, loop).train("shop_0", 1, None)
    (row,) = load_state(tmp_path / "shops" / "shop_0", 1).metrics
    names = ("teacher_requests", "teacher_cached", "input_tokens", "output_tokens", "cost_usd", "unhappy", "escalated")
    assert [getattr(row, name) for name in names] == [4, 2, 6, 4, 1.0, 0, 4]
    assert (row.train_loss, row.steps) == (None, 0)


def test_where_nobody_is_asked_there_is_no_mean_score(tmp_path: Path) -> None:
    loop = settings(reference="sampled", reference_rate=0.0)
    device(tmp_path, [shop()], services(), loop).train("shop_0", 1, None)
    (row,) = load_state(tmp_path / "shops" / "shop_0", 1).metrics
    assert (row.mean_score, row.teacher_requests, row.pseudo_labels) == (None, 0, 0)


def test_what_an_evaluation_sends_is_kept_apart_and_marked(tmp_path: Path) -> None:
    given = services()
    shops = device(tmp_path, [shop()], given, settings(teacher_examples=2, human_share=1.0))
    given.ledger.record(EgressEntry("shop_0", 9, "cloud_teacher", "up", "query", 999))
    shops.evaluate("shop_0", 4, None, "base")
    entries = read_rows(tmp_path / "shops" / "shop_0" / "evaluation_base/egress.jsonl", EgressEntry)
    assert [(entry.num_bytes, entry.server_round) for entry in entries] == [(4, 4)] * 3, "an aborted round's is dropped"
    assert all(entry.details == {"purpose": "evaluate"} for entry in entries)
    assert given.ledger.entries() == []
    assert isinstance(given.gateway, EchoGateway)
    request = given.gateway.requests[0]
    assert (request.purpose, [query for query, _ in request.examples]) == ("evaluate", ["q s6", "q s7"])
    assert load_or_none(tmp_path / "shops" / "shop_0") is None, "an evaluation is no round"


def load_or_none(folder: Path) -> ShopState | None:
    return load_state(folder, finished_rounds(folder)[-1]) if finished_rounds(folder) else None


def test_the_servers_adapter_is_what_is_evaluated_unless_the_bare_base_is_wanted(tmp_path: Path) -> None:
    shops = device(tmp_path, [shop()])
    incoming = {NAMES[0]: np.ones((2, 3), np.float32), NAMES[1]: np.full((3, 2), 10, np.float32)}
    replies = {}
    for phase in ("base", "final"):
        assert shops.evaluate("shop_0", 1, incoming, phase).num_examples == 3  # type: ignore[arg-type]
        rows = read_jsonl(tmp_path / "shops" / "shop_0" / f"evaluation_{phase}/samples.jsonl")
        replies[phase] = {row["reply"].split()[0] for row in rows if row["phase"] == phase}
        assert {row["server_round"] for row in rows} == {1}
    assert replies == {"base": {"bad"}, "final": {"good"}}


def test_a_final_evaluation_is_of_the_state_after_its_round(tmp_path: Path) -> None:
    given, model = noting()
    shops = device(tmp_path, [shop()], given)
    for server_round in (1, 2):
        shops.train("shop_0", server_round, None)
    shops.evaluate("shop_0", 1, None, "final")
    adapter = model.requests[-1].adapter
    assert adapter is not None and float(adapter[NAMES[1]][0, 0]) == 2


def test_a_trial_job_is_one_step_on_the_longest_pairs(tmp_path: Path) -> None:
    long = [pair("b", f"h{i}", reply="x" * (90 + i)) for i in range(3)]
    wide = replace(pair("b", "c", reply="y"), context=(Turn("customer", "z" * 200),))
    shops = [shop("a"), replace(shop("b"), history=(long[0], wide, *shop("b").history), stream=tuple(long[1:]))]
    given, model = noting()
    loop = settings(fine_tune=FineTuneSettings(steps=7, batch_size=3))
    job = device(tmp_path, shops, given, loop).trial_job()
    assert job is not None
    assert [example.reply for example in job.examples] == ["y", "x" * 92, "x" * 91]
    assert job.examples[0].prompt == wide.prompt
    assert (job.settings, job.optimizer, job.seed) == (FineTuneSettings(steps=1, batch_size=3), None, 0)
    assert model.seeds == [0]
    nothing = (
        (shops, settings(fine_tune=FineTuneSettings(steps=0))),
        (shops, settings(server_rounds=0)),
        ([shop("a", num_history=0, num_stream=0)], settings()),
    )
    for given_shops, idle in nothing:
        assert device(tmp_path, given_shops, services(), idle).trial_job() is None


def test_the_shops_are_told_in_order_and_the_loads_of_the_base_too(tmp_path: Path) -> None:
    shops = device(tmp_path, [shop("b"), shop("a")])
    assert (shops.shop_ids, shops.base_loads) == (("b", "a"), 1)


def test_played_customers_are_told_the_truth_of_their_own_shop(tmp_path: Path) -> None:
    told: list[Truth | None] = []

    class Listening:
        def feedback(
            self, pairs: Sequence[Pair], truths: Sequence[Truth | None], replies: Sequence[str], seed: int
        ) -> list[Feedback | None]:
            told.extend(truths)
            return [None] * len(pairs)

    shops = [shop("a"), shop("b"), shop("c")]
    truth = {shop_id: {f"{shop_id}/s1": about(courier(value))} for shop_id, value in (("a", "圆通"), ("b", "申通"))}
    given = replace(services(), feedback=Listening())
    devices = ShopDevices(shops, truth, given, settings(), RunDirectory(tmp_path), write_adapter, seed=0)
    for shop_id in "bac":
        devices.train(shop_id, 1, None)
    expected = [None] * 12
    expected[1], expected[5] = truth["b"]["b/s1"], truth["a"]["a/s1"]
    assert told == expected


def test_a_state_read_ahead_is_that_before_the_round_asked_for(tmp_path: Path) -> None:
    shops = device(tmp_path, [shop()], loop=settings(human_share=0.0))
    for server_round in (1, 2):
        shops.train("shop_0", server_round, None)
    shops.read_ahead({"shop_0": 2})
    shops.train("shop_0", 2, None)  # done again, from round 1
    state = load_state(tmp_path / "shops" / "shop_0", 2)
    assert (state.served, len(state.metrics), float(state.adapter[NAMES[1]][0, 0])) == (8, 2, 4.0)


def test_labels_of_earlier_rounds_are_remembered(tmp_path: Path) -> None:
    # Its adapter stays bad, so that both rounds give labels.
    loop = settings(fine_tune=FineTuneSettings(steps=1, batch_size=8), human_share=0.0, pseudo_share=1.0)
    given, model = noting()
    shops = device(tmp_path, [shop(num_history=0)], given, loop)
    for server_round in (1, 2):
        shops.train("shop_0", server_round, None)
    state = load_state(tmp_path / "shops" / "shop_0", 2)
    assert [label.pair_id for label in state.pseudo_labels] == [f"shop_0/s{i}" for i in range(8)]
    assert {example.reply for example in model.jobs[1].examples} == {f"cloud q s{i}" for i in range(8)}
    assert [entry.server_round for entry in state.egress] == [1] * 4 + [2] * 4


def test_a_shop_that_never_trained_is_the_bare_base_and_not_a_fresh_adapter(tmp_path: Path) -> None:
    given, model = noting()
    device(tmp_path, [shop()], given).evaluate("shop_0", 0, None, "final")
    assert model.requests[-1].adapter is None
