import json
from pathlib import Path
from typing import Any

import pytest

from ecc_fed.core.errors import CorpusError
from ecc_fed.core.records import Turn
from ecc_fed.teacher.distillation.generated import Generated, read_generated


def row(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "shop_id": "a",
        "pair_id": "a/1",
        "context": [{"role": "customer", "text": "在吗"}, {"role": "agent", "text": "在的"}],
        "query": "发什么快递",
        "reply": "发圆通",
        "model_version": "cloud-1",
        "input_tokens": 3,
    }
    return base | changes


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in rows), encoding="utf-8")
    return path


def test_rows_come_back_from_file_and_folder(tmp_path: Path) -> None:
    file = write(tmp_path / "distill.jsonl", [row(), row(pair_id="a/2", context=[])])
    first, second = read_generated(file)
    prompt = (Turn("customer", "在吗"), Turn("agent", "在的"), Turn("customer", "发什么快递"))
    assert first == Generated("a", "a/1", prompt, "发圆通", "cloud-1")
    assert second.prompt == (Turn("customer", "发什么快递"),)
    assert read_generated(tmp_path) == [first, second]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reply": "  "}, "row 2 has no reply"),
        ({"reply": None}, "row 2 has no reply"),
        ({"query": 3}, "row 2 has no query"),
        ({"shop_id": ""}, "row 2 has no shop_id"),
        ({"context": "在吗"}, "row 2 has a context that is no list of turns"),
        ({"context": [{"role": "robot", "text": "x"}]}, "row 2 has a context"),
    ],
)
def test_a_broken_row_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=message):
        read_generated(write(tmp_path / "set.jsonl", [row(), row(**changes)]))


def test_missing_empty_and_torn_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"nowhere.jsonl: no such file.*ecc-fed distill"):
        read_generated(tmp_path / "nowhere.jsonl")
    with pytest.raises(CorpusError, match=r"distill.jsonl: no such file"):
        read_generated(tmp_path)
    with pytest.raises(CorpusError, match="is empty"):
        read_generated(write(tmp_path / "set.jsonl", []))
    torn = write(tmp_path / "set.jsonl", [row()])
    torn.write_bytes(torn.read_bytes()[:-9])
    with pytest.raises(CorpusError, match=r"set.jsonl, line 1: cut off.*go on with"):
        read_generated(torn)
