"""The arm `distilled` on the embedded models, small."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.run_directory import RunDirectory, read_json, read_jsonl
from ecc_fed.evolution.shop_state import finished_rounds, load_state
from ecc_fed.federation.agreement.medoid import medoid
from ecc_fed.federation.wire import records
from ecc_fed.hosts.in_process import InProcessHosts
from experiments.reliability.equal import content as timeless

from .test_runs import rows, run, summary

FEW = ["corpus.num_shops=3", "corpus.pairs_per_shop=12", "corpus.test_pairs_per_shop=2", "evolution.server_rounds=3"]
TIMES = ("serve_seconds", "train_seconds")


@pytest.fixture(scope="module")
def hosts() -> InProcessHosts:
    return InProcessHosts()


def adapters(directory: RunDirectory) -> list[dict[str, np.ndarray]]:
    folders = [directory.shop(shop_id) for shop_id in read_json(directory.run)["shops"]]
    return [dict(load_state(folder, finished_rounds(folder)[-1]).adapter) for folder in folders]


def metrics(directory: RunDirectory) -> list[dict[str, Any]]:
    return [{name: each for name, each in row.items() if name not in TIMES} for row in read_jsonl(directory.metrics)]


def equal(left: list[dict[str, np.ndarray]], right: list[dict[str, np.ndarray]]) -> bool:
    return all(np.array_equal(a[name], b[name]) for a, b in zip(left, right, strict=True) for name in a)


def test_without_a_share_it_is_local_in_every_number(tmp_path: Path, hosts: InProcessHosts) -> None:
    local = run(tmp_path / "local", hosts, "arm=local", *FEW)
    found = run(tmp_path / "none", hosts, "arm=distilled", "arm.public_share=0", *FEW)
    assert equal(adapters(local), adapters(found))
    assert metrics(local) == metrics(found)
    assert [rows(local, phase) for phase in ("base", "final")] == [rows(found, phase) for phase in ("base", "final")]
    told, other = ({**summary(each), "arm": "", "runtime": {}} for each in (local, found))
    assert told == other
    assert timeless(local.egress) == timeless(found.egress)
    assert not found.agreed.exists()


@pytest.fixture(scope="module")
def distilled(tmp_path_factory: pytest.TempPathFactory, hosts: InProcessHosts) -> tuple[RunDirectory, list]:
    """A run, and all that went between server and shops in it."""
    sent: list[tuple[str, Any]] = []
    original = records.traffic_entries

    answered = set[str]()

    def watched(shop_id, server_round, direction, message, *known):
        # An answer is counted twice, by the shop before it leaves and by the server; here once.
        asked = message.metadata.reply_to_message_id
        if direction == "down" or asked not in answered:
            sent.append((direction, message.content))
        answered.add(asked)
        return original(shop_id, server_round, direction, message, *known)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "traffic_entries", watched)
        given = ["arm=distilled", "arm.public_share=0.5", "arm.queries.count=4", *FEW]
        directory = run(tmp_path_factory.mktemp("distilled"), hosts, *given)
    return directory, sent


def test_the_ledger_holds_the_bytes_that_went_and_no_adapter(distilled: tuple[RunDirectory, list]) -> None:
    directory, sent = distilled
    told: dict[tuple[str, str], int] = {}
    for entry in read_jsonl(directory.egress):
        if entry["destination"] == "aggregator":
            key = entry["direction"], entry["kind"]
            told[key] = told.get(key, 0) + entry["num_bytes"]
    carried: dict[tuple[str, str], int] = {}
    for direction, content in sent:
        assert not any(record.keys() for record in content.array_records.values())
        for name, record in content.config_records.items():
            if name != records.CONFIG:
                key = direction, name.replace("-", "_")
                size = sum(len(key) + (len(each) if isinstance(each, bytes) else 1) for key, each in record.items())
                carried[key] = carried.get(key, 0) + size
    assert {key: told[key] for key in carried} == carried
    assert carried.keys() == {("down", "public_queries"), ("down", "agreed_replies"), ("up", "public_replies")}
    assert {kind for _, kind in told} == {"config", "metrics", "envelope", *(kind for _, kind in carried)}
    traffic = summary(directory)["traffic"]
    assert traffic["replies_up_bytes"] == carried["up", "public_replies"]
    down = carried["down", "public_queries"] + carried["down", "agreed_replies"]
    assert traffic["replies_down_bytes"] == down
    both = traffic["adapter_up_bytes"] + traffic["adapter_down_bytes"]
    assert both == sum(size for (_, kind), size in told.items() if kind in ("config", "metrics", "envelope"))


def test_agreed_replies_are_shops_own_and_stand_in_the_run(distilled: tuple[RunDirectory, list]) -> None:
    directory, _ = distilled
    agreed = read_jsonl(directory.agreed)
    assert [row["server_round"] for row in agreed] == [1] * 4 + [2] * 4, "nothing is asked after the last round"
    shop_ids = read_json(directory.run)["shops"]
    states = [load_state(directory.shop(shop_id), 2) for shop_id in shop_ids]
    for place, row in enumerate(agreed[4:]):
        said = [state.public_replies[place] for state in states]
        expected = medoid(row["query"], said, [float(state.num_examples) for state in states])
        assert (row["reply"], row["voices"]) == (expected.reply, expected.voices) and row["reply"] in said
        assert row["similarity"] == expected.similarity
    assert all(load_state(directory.shop(shop_id), 3).public_replies == () for shop_id in shop_ids)
    told = summary(directory)
    assert [failure for failure in told["failures"] if failure["kind"] != "teacher_error"] == []
    assert not (directory.server / "adapter").exists()
    assert (told["arm"], read_json(directory.run)["shops_on_their_own"]) == ("distilled", shop_ids)


def test_it_learns_something_else_than_local_and_the_same_again(
    tmp_path: Path, hosts: InProcessHosts, distilled: tuple[RunDirectory, list]
) -> None:
    local = run(tmp_path / "local", hosts, "arm=local", *FEW)
    assert rows(local, "base") == rows(distilled[0], "base")
    assert not equal(adapters(local), adapters(distilled[0]))
    again = ["arm=distilled", "arm.public_share=0.5", "arm.queries.count=4", "runtime.shops_per_batch=3", *FEW]
    same = run(tmp_path / "again", hosts, *again)
    assert read_jsonl(same.agreed) == read_jsonl(distilled[0].agreed)
    assert rows(same, "final") == rows(distilled[0], "final")
    # The first round has nothing to learn from others yet.
    firsts = [[row for row in metrics(each) if row["server_round"] == 1] for each in (local, distilled[0])]
    assert firsts[0] == firsts[1]


def test_a_public_query_of_the_test_is_refused_before_any_model_is_loaded(
    tmp_path: Path, hosts: InProcessHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = run(tmp_path / "local", hosts, "arm=none", *FEW)
    tested = rows(directory, "base")[0]["query"]
    path = tmp_path / "q.jsonl"
    path.write_text(f'{{"query": "包邮吗"}}\n{{"query": "{tested}!"}}\n', encoding="utf-8")
    monkeypatch.setattr("ecc_fed.runs.simulation.run_federation", lambda *_, **__: pytest.fail("it went on"))
    with pytest.raises(ConfigError, match="1 of the public queries are asked in the test of shop_0000"):
        run(tmp_path / "x", hosts, "arm=distilled", f"arm.queries.path={path}", "arm.queries.count=2", *FEW)
