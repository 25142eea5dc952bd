"""How fast, and in how much memory, a full-size dialogue file is read, cleaned, de-duplicated and partitioned.

    python experiments/benchmarks/corpus_throughput.py --format ecd --lines 1000000

Writes a file of the asked number of lines into a temporary folder (seeded, so every run measures the same bytes), then
measures in a fresh process, because peak memory never falls again within one. Prints a JSON line: lines per second of
CPU time and of wall time for reading (file to clean, unique sessions), seconds for partition and pairs, peak RSS.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SHORT = [
    "好 的",
    "嗯 嗯",
    "谢谢",
    "是 的 呢",
    "可以 的 哦",
    "好 的 亲",
    "在 吗",
    "您好",
    "你好",
    "没有 哦",
    "哦 哦",
    "亲 在 的",
    "不 客气 哦",
    "稍 等",
    "对 的",
    "已经 付款 了",
    "拍 下 了",
    "明白 了",
    "那 算了",
    "怎么 弄",
]
THINGS = [
    "坚果 礼盒",
    "棉柔巾",
    "茶针",
    "洗衣液",
    "牛肉干",
    "核桃",
    "粽子 礼盒",
    "保温杯",
    "蓝牙 耳机",
    "婴儿 湿巾",
    "电饭 煲",
    "运动鞋",
    "手机壳",
    "台灯",
    "iPhone 12 Pro",
    "儿童 书包",
    "枕头",
    "羽绒服",
    "面膜",
    "鼠标",
]
ASKED = [
    "发 什么 快递",
    "几天 能 到",
    "可以 便宜 点 吗",
    "什么 时候 发货",
    "有 优惠券 吗",
    "能 开发票 吗",
    "怎么 退货",
    "质量 怎么样",
    "保质期 多久",
    "有 现货 吗",
    "颜色 有 几种",
    "包邮 吗",
    "尺寸 多大",
    "可以 改 地址 吗",
]
ANSWERS = [
    "亲 默认 发 韵达 快递 哦",
    "一般 3 到 5 天 左右 到 呢",
    "已经 是 最低价 了 呢 亲",
    "今天 16 点 前 付款 当天 发货 哦",
    "可以 领取 店铺 优惠券 满 99 减 10",
    "可以 的 亲 下单 时 备注 抬头 就行",
    "申请 后 寄 回来 就 可以 了",
    "质量 您 放心 有 问题 包 退换",
    "生产日期 是 上个月 的 新货 哦",
    "有 现货 的 呢",
    "一共 有 5 种 颜色 呢",
    "偏远地区 除外 都 是 包邮 的",
    "大概 是 20 x 30 厘米",
    "帮 您 改好 了 请 核对 一下 收货 地址 哦",
]


def _customer(rng: random.Random) -> str:
    if rng.random() < 0.4:
        return rng.choice(SHORT)
    return f"{rng.choice(THINGS)} {rng.choice(ASKED)} {rng.choice(SHORT)} {rng.randrange(10_000)}"


def _agent(rng: random.Random) -> str:
    if rng.random() < 0.4:
        return rng.choice(SHORT)
    return f"{rng.choice(ANSWERS)} {rng.choice(THINGS)} {rng.randrange(1000)}"


def ecd_lines(lines: int, rng: random.Random) -> Iterator[str]:
    """Label 1 and label 0 alternate, 2 to 20 turns, about 430 bytes a line, as in the published file."""
    for _ in range((lines + 1) // 2):
        turns = [_agent(rng) if i % 2 else _customer(rng) for i in range(2 * rng.randint(1, 10))]
        context = "\t".join(turns[:-1])
        yield f"1\t{context}\t{turns[-1]}\n"
        yield f"0\t{context}\t{_agent(rng)}\n"


def jddc_lines(lines: int, rng: random.Random) -> Iterator[str]:
    """Sessions of 6 to 20 turns with the platform's notices in between."""
    written = 0
    while written < lines:
        session, user = f"{rng.getrandbits(128):032x}", f"USERID_{rng.randrange(10**8)}"
        for i in range(rng.randint(6, 20)):
            text = (_agent(rng) if i % 2 else _customer(rng)).replace(" ", "", 3)
            if i % 2 and rng.random() < 0.3:
                text += " 请问还有其他还可以帮到您的吗?"
            if not i % 2 and rng.random() < 0.1:
                text += " #E-s12 https://item.example.com/1234.html"
            yield f"{session}\t{user}\t{i % 2}\t0\t0\tnan\t{text}\n"
            written += 1


def jsonl_lines(lines: int, rng: random.Random) -> Iterator[str]:
    """A session a line, of 2 to 12 turns."""
    for _ in range(lines):
        turns = [
            {"role": "agent", "text": _agent(rng).replace(" ", "")}
            if i % 2
            else {"role": "customer", "text": _customer(rng).replace(" ", "")}
            for i in range(2 * rng.randint(1, 6))
        ]
        yield json.dumps({"shop": f"店铺{rng.randrange(50)}", "turns": turns}, ensure_ascii=False) + "\n"


def jddc_by_time_lines(lines: int, rng: random.Random) -> Iterator[str]:
    """The same sessions in a log by time: eight go on beside each other."""
    sessions: list[list[str]] = [[] for _ in range(8)]
    source = jddc_lines(lines, rng)
    following = next(source)
    while True:
        for lane in sessions:
            if not lane and following:
                name = following.partition("\t")[0]
                while following and following.startswith(name):
                    lane.append(following)
                    following = next(source, "")
        if not any(sessions):
            return
        yield from [lane.pop(0) for lane in sessions if lane]


def json_lines(lines: int, rng: random.Random) -> Iterator[str]:
    """One JSON document: a list of sessions, one on every line of it but the last, which closes the list."""
    for i, line in enumerate(jsonl_lines(lines, rng)):
        yield f"{',' if i else '['}{line}"
    yield "]\n"


def csv_lines(lines: int, rng: random.Random) -> Iterator[str]:
    """A question with its answer in every row, below a header."""
    yield "query,reply,shop\n"
    for _ in range(lines - 1):
        yield f'"{_customer(rng)}, {_customer(rng)}",{_agent(rng)},店铺{rng.randrange(50)}\n'


def csv_turns_lines(lines: int, rng: random.Random) -> Iterator[str]:
    """A turn a row, sessions one after another."""
    yield "session,role,text\n"
    for line in jddc_lines(lines - 1, rng):
        columns = line.rstrip("\n").split("\t")
        yield f'{columns[0]},{("customer", "agent")[int(columns[2])]},"{columns[6]}"\n'


GENERATORS = {
    "ecd": ecd_lines,
    "jddc": jddc_lines,
    "jddc_by_time": jddc_by_time_lines,
    "jsonl": jsonl_lines,
    "json": json_lines,
    "csv": csv_lines,
    "csv_turns": csv_turns_lines,
}


def measure(path: str, kind: str, num_shops: int, max_pairs: int) -> dict[str, object]:
    """Reads `path` once for the throughput, then partitions and pairs it."""
    from ecc_fed.corpus.formats.ecd import EcdCorpus
    from ecc_fed.corpus.formats.jddc import JddcCorpus
    from ecc_fed.corpus.formats.jsonl import JsonlCorpus
    from ecc_fed.corpus.formats.tables import TableCorpus
    from ecc_fed.corpus.partition.topic import TopicPartition

    own = "csv" if kind.startswith("csv") else kind.partition("_")[0]
    corpus = {"ecd": EcdCorpus, "jddc": JddcCorpus, "jsonl": JsonlCorpus, "json": JsonlCorpus, "csv": TableCorpus}[own](
        path=path,
        partition=TopicPartition(),
        num_shops=num_shops,
        max_pairs_per_shop=max_pairs,
        max_test_pairs_per_shop=max_pairs // 4,
    )
    wall, cpu = time.perf_counter(), time.process_time()
    sessions, report = corpus.read()
    wall_read, cpu_read = time.perf_counter() - wall, time.process_time() - cpu
    answered = int(sessions.answered.sum())
    kept = len(sessions)
    cpu = time.process_time()
    shops, whole = corpus.load_from(sessions, report)
    cpu_shops = time.process_time() - cpu
    return {
        "format": kind,
        "file_bytes": Path(path).stat().st_size,
        "lines": report.lines.read,
        "sessions": kept,
        "pairs_in_file": answered,
        "pairs_in_shops": whole.pairs.kept if whole.pairs else 0,
        "shops": len(shops),
        "lines_per_cpu_second": round(report.lines.read / cpu_read),
        "lines_per_wall_second": round(report.lines.read / wall_read),
        "read_cpu_seconds": round(cpu_read, 1),
        "partition_and_pairs_cpu_seconds": round(cpu_shops, 1),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def main() -> None:
    """Generates, measures in a child process, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", choices=sorted(GENERATORS), default="ecd")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--shops", type=int, default=100)
    parser.add_argument("--max-pairs", type=int, default=500, help="per shop; test pairs a quarter of it")
    parser.add_argument("--measure", metavar="FILE", help="measure this file instead of a generated one")
    options = parser.parse_args()
    if options.measure is not None:
        print(json.dumps(measure(options.measure, options.format, options.shops, options.max_pairs)))
        return
    with tempfile.TemporaryDirectory(prefix="ecc_fed-benchmark-") as folder:
        path = Path(folder) / f"generated.{options.format}"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(GENERATORS[options.format](options.lines, random.Random(0)))
        command = [sys.executable, __file__, "--format", options.format, "--shops", str(options.shops)]
        command += ["--max-pairs", str(options.max_pairs), "--measure", str(path)]
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env={**os.environ, **threads})


if __name__ == "__main__":
    main()
