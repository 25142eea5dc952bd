"""Lines of corpora and overrides of a config, drawn by lot and broken: nothing but an `EccError` may come of them.

    python experiments/reliability/fuzz.py --lines 1000000 --overrides 10000 --seed 0

Lines go in files of 500 through every reader, the cleaning, the search for duplicates, a partition and the pairs.
Overrides go through Hydra into a checked config, a few at a time. Each file and each config has its own seed, which is
printed where something else is raised, or nothing comes back in time.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecc_fed.assembly.compose import compose_job, to_run_config
from ecc_fed.core.errors import EccError
from ecc_fed.core.outside_text import cut, visible
from ecc_fed.corpus.formats.ecd import EcdCorpus
from ecc_fed.corpus.formats.files import FileCorpus
from ecc_fed.corpus.formats.jddc import JddcCorpus
from ecc_fed.corpus.formats.jsonl import JsonlCorpus
from ecc_fed.corpus.partition.iid import IidPartition
from ecc_fed.corpus.partition.natural import NaturalPartition
from ecc_fed.corpus.partition.topic import TopicPartition

FILE_LINES = 500
LIMIT_SECONDS = 60

_WORDS = [
    "在吗", "有货吗", "亲，有的", "发什么快递", "好的", "谢谢您啦", "评价", "人工", "订单编号:", "咨询订单号: ",
    "商品ID: ", "[数字x]", "[", "]", "<a", "<b>", ">", "&amp;", "&lt;", "&", "#E-s12", "/:^x^", "www.",
    "http://a.b/c?d", "～～",
    " ", "  ", "\u3000", "\u200b", "\ufeff", "\u2028", "\x1b[31m", "\x85", "\ud83d", "👨\u200d👩", "\u202e",
    "1", "0", "9" * 40, "-1", "1e999", "nan", "null", "true", "x" * 300, "=1+1", "${seed}", "\\u0000", "\\", '"', "'",
]  # fmt: skip
# Ends of lines and columns to one reader or another; a corpus of nothing else would be refused as a whole.
_ENDS = ["\t", "\r", "\n"]


class Lot(random.Random):
    """Draws by lot; `wild` is the share of what no reader expects."""

    wild = 0.02


def text(rng: Lot, most: int = 8) -> str:
    """Words of dialogues and signs that mean something to some reader; now and then any character at all."""
    parts = []
    for _ in range(rng.randrange(most)):
        if rng.random() > rng.wild:
            parts.append(rng.choice(_WORDS))
        elif rng.random() < 0.9:
            parts.append(chr(rng.randrange(1, 0x110000)))
        else:
            parts.append(rng.choice(_ENDS))
    return "".join(parts)


def _mostly(rng: Lot, usual: list[str], most: int) -> str:
    return rng.choice(usual) if rng.random() > rng.wild else text(rng, most)


def _value(rng: Lot, depth: int = 0) -> Any:
    """Any JSON."""
    kind = rng.randrange(9 if depth < 4 else 7)
    some = range(rng.randrange(4))
    if kind == 7:
        return [_value(rng, depth + 1) for _ in some]
    if kind == 8:
        return {text(rng, 2): _value(rng, depth + 1) for _ in some}
    number = rng.randrange(-9, 9) * 10 ** rng.randrange(30)
    return [text(rng), text(rng), None, rng.random() < 0.5, number, 1e308, 0.5][kind]


def _jsonl_line(rng: Lot) -> str:
    turns: Any = []
    for index in range(rng.randrange(1, 7)):
        turn: dict[str, Any] = {_mostly(rng, ["role"], 2): _mostly(rng, [["user", "agent"][index % 2]], 2)}
        turn[_mostly(rng, ["text", "content"], 2)] = text(rng) if rng.random() > rng.wild else _value(rng)
        turns.append(turn)
    record: dict[str, Any] = {_mostly(rng, ["turns"], 2): turns if rng.random() > rng.wild else _value(rng)}
    for key in ("shop", "session"):
        if rng.random() < 0.5:
            record[key] = text(rng, 3) if rng.random() > rng.wild else _value(rng)
    return json.dumps(record if rng.random() > rng.wild else _value(rng), ensure_ascii=rng.random() < 0.5)


def _ecd_line(rng: Lot) -> str:
    return "\t".join([_mostly(rng, ["0", "1", "1", "1"], 2), *(text(rng) or "好" for _ in range(rng.randrange(2, 7)))])


def _jddc_line(rng: Lot) -> str:
    flags = [_mostly(rng, ["0", "1"], 2) for _ in range(3)]
    columns = [_mostly(rng, ["s1", "s2", "s3", str(rng.randrange(99))], 3), text(rng, 2), *flags, "nan", text(rng)]
    return "\t".join(columns[: 7 if rng.random() > rng.wild else rng.randrange(9)])


FORMATS: dict[type[FileCorpus], Callable[[Lot], str]] = {
    JsonlCorpus: _jsonl_line,
    EcdCorpus: _ecd_line,
    JddcCorpus: _jddc_line,
}


def _broken(rng: Lot, line: bytes) -> bytes:
    """The line, now and then with a byte changed, its end cut off, or itself in its middle."""
    if rng.random() > rng.wild or not line:
        return line
    at = rng.randrange(len(line))
    changed = line[:at] + bytes([rng.randrange(256)]) + line[at + 1 :]
    return rng.choice([line[:at], changed, line[:at] + line + line[at:]])


def file_bytes(rng: Lot, make: Callable[[Lot], str], num_lines: int) -> bytes:
    """A file of fuzzed lines."""
    ends = [b"\n", b"\n", b"\n", b"\r\n", b"\n\n"]
    lines = []
    for _ in range(num_lines):
        errors = "surrogatepass" if rng.random() < rng.wild else "replace"
        lines.append(_broken(rng, make(rng).encode("utf-8", errors)) + rng.choice(ends))
    return b"".join(lines)


_PARTITIONS = [IidPartition(), NaturalPartition(min_sessions=2), TopicPartition(dirichlet_alpha=0.5)]


class Hang(BaseException):
    """Nothing came back in time."""


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: object) -> None:
        raise Hang(f"nothing after {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Found:
    """How many were tried, what became of them, and what should not have been raised, with its seed."""

    tried: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def hold(self, seed: str, what: Callable[[], object], shown: Callable[[], str]) -> None:
        """Runs one under the limit, twice before it is called a hang: the machine may have been busy elsewhere."""
        try:
            try:
                with _limit(LIMIT_SECONDS):
                    what()
            except Hang:
                with _limit(LIMIT_SECONDS):
                    what()
            self.outcomes["accepted"] += 1
        except EccError as error:
            self.outcomes[type(error).__name__] += 1
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.outcomes["FAULT"] += 1
            self.faults.append(f"{seed}: {type(error).__name__}: {cut(str(error), 300)} from {cut(shown(), 600)}")


def fuzz_lines(num_lines: int, seed: int) -> Found:
    """Fuzzed files of every format in turn, until they hold `num_lines`."""
    found = Found()
    kinds = list(FORMATS)
    with tempfile.TemporaryDirectory() as folder:
        number = 0
        while found.tried < num_lines:
            name, kind = f"lines {seed}/{number}", kinds[number % len(kinds)]
            rng = Lot(name)
            rng.wild = rng.choice([0.001, 0.01, 0.1])
            path = Path(folder, f"{number % 8}.txt")
            path.write_bytes(file_bytes(rng, FORMATS[kind], FILE_LINES))
            partition = rng.choice(_PARTITIONS)
            corpus = kind(path=str(path), partition=partition, num_shops=rng.randrange(1, 4), seed=number)
            found.hold(name, corpus.report, lambda: "")
            found.tried += FILE_LINES
            number += 1
    return found


_SETTINGS = [
    "seed", "corpus", "corpus.num_shops", "corpus.path", "corpus.language", "partition.dirichlet_alpha", "end_model",
    "end_model.path", "end_model.device", "adapter", "adapter.rank", "adapter.target_modules", "finetune.steps",
    "finetune.learning_rate", "decoding", "decoding.temperature", "decoding.max_new_tokens", "teacher",
    "teacher.api_key_env", "teacher._target_", "gateway.max_cost_usd", "gateway.cache_path", "redaction", "judge",
    "judge.score_alpha", "judge.similarity", "judge.similarity._target_", "feedback", "evolution", "evolution.cycles",
    "evolution.server_rounds", "evolution.extra_queries", "evolution.warm_start.path", "strategy", "strategy.weights",
    "update", "update.clip.norm", "runtime", "runtime.hosts", "runtime.engine", "study.arms", "study.seeds",
    "study.variants", "study.view", "chat.steps", "arm", "arm.personal_rounds", "arm._target_", "hydra.run.dir",
    "hydra.job.env_set", "hydra.callbacks", "hydra.searchpath", "experiment", "nothing", "a.b.c",
]  # fmt: skip
_VALUES = [
    "", "null", "0", "-1", "1", "1e999", "nan", "inf", "-inf", "true", "'", '"', "[", "]", "{", "[]", "{}", "[1,2]",
    "{a:1}", "local", "personalized", "quickstart", "jddc", "gemini", "none", "clip", "[clip]", "iid", "lora", "???",
    "1_000", "0x10", "${seed}", "${nothing}", "${oc.env:HOME}", "${oc.env:NOTHING}", "${oc.decode:'['}", "${a", "${.a}",
    "${..}", "${seed:1}", "os.system", "ecc_fed", "ecc_fed.core.run_directory.os.system", "9" * 400, "x" * 5000,
    "../..", "/dev/null", "a\x00b", "{_target_:os.system}", "[{_target_:os.system}]", "'\x1b[31m'", "\\", "a=b", "a,b",
    "range(1,9)", "choice(1,2)", "glob(*)",
]  # fmt: skip


def overrides(rng: Lot) -> list[str]:
    """One to four overrides."""
    found = []
    for _ in range(rng.randrange(1, 5)):
        name = rng.choice(_SETTINGS) if rng.random() < 0.97 else text(rng, 3)
        value = rng.choice(_VALUES) if rng.random() < 0.85 else text(rng, 4)
        found.append(f"{rng.choice(['', '', '', '+', '++', '~'])}{name}{'=' if rng.random() < 0.98 else ''}{value}")
    return found


def fuzz_overrides(num_configs: int, seed: int) -> Found:
    """Configs of fuzzed overrides; none runs, and none may be built that names another package's class."""
    found = Found()
    for number in range(num_configs):
        given = overrides(Lot(f"overrides {seed}/{number}"))

        def compose(given: list[str] = given) -> None:
            to_run_config(compose_job(given)[0])

        found.hold(f"overrides {seed}/{number}", compose, lambda given=given: repr(given))  # type: ignore[misc]
        found.tried += 1
    return found


def main(arguments: list[str] | None = None) -> int:
    """Fuzzes; returns 1 where anything but an `EccError` came."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--overrides", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    faults = 0
    for what, found_by, count in (("lines", fuzz_lines, given.lines), ("overrides", fuzz_overrides, given.overrides)):
        started = time.perf_counter()
        found = found_by(count, given.seed)
        outcomes = ", ".join(f"{name} {times:,}" for name, times in sorted(found.outcomes.items()))
        print(
            f"{found.tried:,} {what} from seed {given.seed}: {outcomes} ({time.perf_counter() - started:.0f} s)",
            flush=True,
        )
        for fault in found.faults[:20]:
            print(f"  {visible(fault)}")
        faults += len(found.faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
