"""Small dialogue files in the three formats, written for the tests that read them."""

from __future__ import annotations

import json
from pathlib import Path

from ecc_fed.corpus.formats.ecd import EcdCorpus
from ecc_fed.corpus.formats.jddc import JddcCorpus
from ecc_fed.corpus.formats.jsonl import JsonlCorpus
from ecc_fed.corpus.formats.reading import RawSession, ReadLog

FORMATS = {corpus.format: corpus for corpus in (EcdCorpus, JddcCorpus, JsonlCorpus)}

COLOURS = "红橙黄绿青蓝紫黑白灰"
WARES = ("坚果", "毛巾", "茶壶", "台灯", "书包", "枕头", "耳机", "水杯", "雨伞", "鼠标", "相机")
MATTERS = ("快递什么时候到", "发票怎么开", "可以退货吗", "有没有优惠", "是什么材质", "尺寸多大", "坏了怎么办")


def exchange(i: int, k: int = 0) -> tuple[str, str]:
    """Question k of dialogue i and its answer; no two dialogues are alike."""
    ware, matter = WARES[i % 11], MATTERS[(i + k) % 7]
    mark = "".join(COLOURS[int(digit)] for digit in f"{i}{k}")
    return f"请教一下{mark}{ware}{matter}", f"{mark}{ware}的事这样办：{matter}，{mark}{mark[::-1]}一起说明"


def ecd_text(sessions: int, turns: int = 2) -> str:
    """Lines of label 1 and 0, a session each, words split by spaces."""
    lines = []
    for i in range(sessions):
        said = [" ".join(text) for k in range(turns) for text in exchange(i, k)]
        lines.append("\t".join(["1", *said]))
        lines.append("\t".join(["0", *said[:-1], "这 是 别处 的 回答"]))
    return "".join(f"{line}\n" for line in lines)


def jddc_text(sessions: int, turns: int = 2) -> str:
    """A line a turn, in seven columns."""
    lines = []
    for i in range(sessions):
        for k in range(turns):
            for agent, text in enumerate(exchange(i, k)):
                lines.append(f"s{i:05d}\tUSERID_{i}\t{agent}\t0\t0\tnan\t{text}\n")
    return "".join(lines)


def jsonl_text(sessions: int, shops: int = 3, turns: int = 2) -> str:
    """A session a line; shop k has every `shops`-th one."""
    lines = []
    for i in range(sessions):
        said = [
            {"role": role, "text": text}
            for k in range(turns)
            for role, text in zip(("customer", "agent"), exchange(i, k), strict=True)
        ]
        lines.append(json.dumps({"shop": f"店 {i % shops}", "turns": said}, ensure_ascii=False))
    return "".join(f"{line}\n" for line in lines)


def written(folder: Path, text: str | bytes, name: str = "corpus.txt") -> Path:
    """A file of that content."""
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def sessions_of(reader, path: Path, kind: str) -> tuple[list[RawSession], ReadLog]:
    """Everything a reader gives, and its log."""
    log = ReadLog(path, kind, FORMATS[kind].expected)
    return list(reader(log)), log
