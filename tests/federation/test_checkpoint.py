"""The server's state on disk: whole, of one run, and all that a run needs to go on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecc_fed.core.aggregation import AggregateReport, AggregatorState
from ecc_fed.core.errors import DamagedState
from ecc_fed.core.records import EgressEntry, EvaluationReport
from ecc_fed.federation.checkpoint import drop_former, load_checkpoint, save_checkpoint
from ecc_fed.federation.results import (
    Checkpoint,
    Evaluation,
    RoundRecord,
    ServerState,
    ShopFailure,
    ShopRound,
    SkippedRound,
)

SENT = EgressEntry("b", 1, "aggregator", "up", "adapter", 7)
ROUND = RoundRecord(
    1,
    {"b": ShopRound(4, {"loss": 0.1}, 0.3, 1.5, ("large_norm",)), "a": ShopRound(2, {})},
    (ShopFailure("c", 1, "train", "refused", "not finite", "Traceback"), ShopFailure(None, 1, "train", "refused", "?")),
    (SENT,),
    2.5,
    SkippedRound(1, "nobody"),
    AggregateReport(0.1, {"q": None, "k": 0.5}, {"b": 2}, 2, {"b": 99}, 0.7),
)
CHECKPOINT = Checkpoint(
    ServerState(1, AggregatorState({"x": np.arange(3, dtype=np.float32)}, scalars={"n": 0.1}), frozenset({"b", "a"})),
    Evaluation({"b": EvaluationReport(3, {"d": 1.5})}, (ShopFailure("a", 0, "base", "dropped", "died"),), (SENT,)),
    (ROUND,),
)


def test_all_of_it_comes_back(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path, "ab12") is None
    save_checkpoint(tmp_path, CHECKPOINT, "ab12", "d1", 12.5)
    found, record = load_checkpoint(tmp_path, "ab12") or pytest.fail("lost")
    assert found.state.aggregator.adapter is not None
    assert np.array_equal(found.state.aggregator.adapter["x"], np.arange(3, dtype=np.float32))
    assert found.state.aggregator.scalars == {"n": 0.1}
    found = found.in_order(["b", "a", "c"])
    assert replace(found, state=CHECKPOINT.state) == CHECKPOINT
    assert (found.state.server_round, found.state.adopted) == (1, {"a", "b"})
    assert list(found.rounds[0].shops) == ["b", "a"]
    assert (record.dialogues_sha256, record.seconds) == ("d1", 12.5)


def test_the_one_before_is_kept_until_the_next_lies_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, CHECKPOINT, "ab12")
    second = replace(CHECKPOINT, state=replace(CHECKPOINT.state, server_round=2))

    def killed(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, second, "ab12")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["round_0001"]
    save_checkpoint(tmp_path, second, "ab12")
    assert [path.name for path in tmp_path.iterdir()] == ["round_0002"]


def test_a_former_one_that_a_kill_left_is_dropped(tmp_path: Path) -> None:
    for server_round in (1, 2):
        state = replace(CHECKPOINT.state, server_round=server_round)
        save_checkpoint(tmp_path / str(server_round), replace(CHECKPOINT, state=state), "ab12")
    (tmp_path / "1" / "round_0001").rename(tmp_path / "2" / "round_0001")
    found = load_checkpoint(tmp_path / "2", "ab12")
    assert found is not None and found[0].state.server_round == 2
    drop_former(tmp_path / "2")
    assert [path.name for path in (tmp_path / "2").iterdir()] == ["round_0002"]


@pytest.mark.parametrize("name", ["server.json", "aggregator.safetensors"])
def test_a_damaged_or_foreign_one_is_refused_by_name(tmp_path: Path, name: str) -> None:
    save_checkpoint(tmp_path, CHECKPOINT, "ab12")
    with pytest.raises(DamagedState, match="it is of run ab12, not of cd34"):
        load_checkpoint(tmp_path, "cd34")
    path = tmp_path / "round_0001" / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedState, match=r"No readable state of the server in .*round_0001"):
        load_checkpoint(tmp_path, "ab12")
