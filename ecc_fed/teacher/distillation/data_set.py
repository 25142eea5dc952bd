"""The folder of a distillation set, grown pass by pass.

`distill.jsonl` holds a row for every reply, `egress.jsonl` the ledger, `distill.json` what the set is and what it
used so far. It is written after the other two; what was asked since then stands in `open_calls/`, from where the
next pass takes replies, usage and ledger. So a pass that is killed loses at most the replies that were under way.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ecc_fed.core.errors import BudgetExceeded, RunDirectoryError, TeacherError, UserError
from ecc_fed.core.folder_lock import sole_writer
from ecc_fed.core.records import TeacherReply
from ecc_fed.core.rows import append_rows
from ecc_fed.core.run_directory import (
    RunDirectory,
    append_jsonl,
    cut_torn_tail,
    read_json,
    read_jsonl,
    write_json,
)
from ecc_fed.privacy.ledger import MemoryLedger
from ecc_fed.teacher.distillation.distill import Query, row_of
from ecc_fed.teacher.gateway.budget import Spending
from ecc_fed.teacher.gateway.gateway import Gateway
from ecc_fed.teacher.gateway.journal import counted, read_attempts, spending

SCHEMA = 1
# So many requests in a row without an answer, and the teacher is taken for gone.
PATIENCE = 16
_USAGE = ("input_tokens", "output_tokens", "cost_usd", "cached")
_FIELDS = ("shop_id", "pair_id", "prompt_sha256", "model_version", *_USAGE)
_OTHER = {"corpus_sha256": "it was made from another corpus, other splits, or other few-shot examples"}
_UNANSWERED = ("error", "unavailable", "timeout", "rate_limited")


class DataSet:
    """One folder; `identity` says which set it is.

    Raises:
        UserError: the folder holds another set, or another pass is writing there.
        RunDirectoryError: a file there is damaged.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder, self.identity = folder, dict(identity)
        self.rows_path, self.summary_path = folder / "distill.jsonl", folder / "distill.json"
        self.egress_path = folder / "egress.jsonl"
        self.failures: dict[tuple[str, str], dict[str, Any]] = {}
        summary = self._summary()
        rows = _rows(self.rows_path)
        if rows and summary is None:
            raise UserError(f"{folder} holds a distill.jsonl without its distill.json: choose another folder (--out)")
        self.done = {(row["shop_id"], row["pair_id"], row["prompt_sha256"]) for row in rows}
        self.model_versions = Counter(str(row["model_version"]) for row in rows)
        summary = summary or {}
        self.spent = Spending(**summary.get("spent", {}))
        self._chunks, self._egress_bytes = int(summary.get("chunks", 0)), summary.get("egress_bytes")

    def open_queries(self, queries: Sequence[Query]) -> list[Query]:
        """Those that have no reply yet."""
        return [query for query in queries if _key(query) not in self.done]

    def fill(
        self,
        queries: Sequence[Query],
        gateway: Gateway,
        ledger: MemoryLedger,
        chunk_size: int,
        on_progress: Callable[[int], None],
    ) -> None:
        """Asks for every reply that is missing, a chunk at a time, and writes each chunk down.

        The gateway's budget goes on from what earlier passes of this set used.

        Raises:
            BudgetExceeded: the budget is used up; what was answered is written.
            TeacherError: the teacher answered none of many requests in a row; likewise.
            RunDirectoryError: the folder cannot be written.
        """
        for path in (self.rows_path, self.egress_path):
            cut_torn_tail(path)
        self._recover(gateway)
        gateway.budget.restore(self.spent)
        waiting = self.open_queries(queries)
        unanswered = 0
        self._commit(queries)
        for start in range(0, len(waiting), chunk_size):
            chunk = waiting[start : start + chunk_size]
            shops = list(dict.fromkeys(query.pair.shop_id for query in chunk))
            for shop in shops:
                gateway.journal.begin(shop, self._open_calls(shop), str(self._chunks))
            replies = gateway.answer([query.request for query in chunk])
            self._write(chunk, replies, ledger)
            self.spent = gateway.budget.spent
            self._commit(queries)
            for shop in shops:
                gateway.journal.discard(shop)
            on_progress(len(queries) - len(waiting) + start + len(chunk))
            for reply in replies:
                unanswered = unanswered + 1 if reply.outcome in _UNANSWERED else 0
            refused = next((reply for reply in replies if reply.outcome == "budget"), None)
            if refused is not None:
                raise BudgetExceeded(f"{refused.detail}. {self._state(queries)}")
            if unanswered >= PATIENCE:
                raise TeacherError(
                    f"The teacher answered none of the last {unanswered} requests ({replies[-1].outcome}: "
                    f"{replies[-1].detail}). {self._state(queries)}"
                )

    def _open_calls(self, shop_id: str) -> Path:
        return self.folder / "open_calls" / f"{RunDirectory(self.folder).shop(shop_id).name}.jsonl"

    def _recover(self, gateway: Gateway) -> None:
        """What a killed pass asked and did not write down: its replies go into the cache, which answers from now on."""
        if self._egress_bytes is not None and self.egress_path.exists():
            # What follows stands in the journals.
            os.truncate(self.egress_path, min(self._egress_bytes, self.egress_path.stat().st_size))
        for path in sorted((self.folder / "open_calls").glob("*.jsonl")):
            # A pass may be killed after the summary, before it removes the journals of that chunk.
            attempts = [line for line in counted(read_attempts(path)) if int(line.tag) >= self._chunks]
            gateway.remember(
                [
                    (line.entries[0].shop_id, line.key, line.completion)
                    for line in attempts
                    if line.completion is not None
                ]
            )
            append_rows(self.egress_path, [entry for line in attempts for entry in line.entries])
            self.spent = self.spent + spending(attempts)

    def _commit(self, queries: Sequence[Query]) -> None:
        """From here on the set is what its files hold now."""
        self._chunks += 1
        self._egress_bytes = self.egress_path.stat().st_size if self.egress_path.exists() else 0
        self._write_summary(queries)
        for path in (self.folder / "open_calls").glob("*.jsonl"):
            path.unlink()

    def _state(self, queries: Sequence[Query]) -> str:
        left = len(self.open_queries(queries))
        return f"{len(queries) - left} of {len(queries)} replies are in {self.folder}; the same command goes on there"

    def _write(self, chunk: Sequence[Query], replies: Sequence[TeacherReply], ledger: MemoryLedger) -> None:
        shops = dict.fromkeys(query.pair.shop_id for query in chunk)
        append_rows(self.egress_path, [entry for shop in shops for entry in ledger.drain(shop)])
        answered = [(q, r) for q, r in zip(chunk, replies, strict=True) if r.text is not None]
        append_jsonl(self.rows_path, [row_of(query, reply) for query, reply in answered])
        self.done |= {_key(query) for query, _ in answered}
        self.model_versions.update(reply.model_version for _, reply in answered)
        for query, reply in zip(chunk, replies, strict=True):
            if reply.text is None and reply.outcome != "budget":
                place = (query.pair.shop_id, query.pair.pair_id)
                self.failures[place] = {"outcome": reply.outcome, "detail": reply.detail}

    def _write_summary(self, queries: Sequence[Query]) -> None:
        write_json(
            self.summary_path,
            {
                "schema": SCHEMA,
                "identity": self.identity,
                "queries": len(queries),
                "replies": len(self.done),
                "complete": not self.open_queries(queries),
                "spent": asdict(self.spent),
                "chunks": self._chunks,
                "egress_bytes": self._egress_bytes,
                "model_versions": dict(self.model_versions),
                # Of the last pass; each is asked again by the next.
                "failures": [
                    {"shop_id": shop, "pair_id": pair} | reason for (shop, pair), reason in self.failures.items()
                ],
            },
        )

    def _summary(self) -> dict[str, Any] | None:
        if not self.summary_path.exists():
            return None
        summary = read_json(self.summary_path)
        held, spent = summary.get("identity"), summary.get("spent")
        whole = isinstance(spent, dict) and set(spent) == set(asdict(Spending()))
        if summary.get("schema") != SCHEMA or not isinstance(held, dict) or not whole:
            raise UserError(f"{self.summary_path} is not of this kind or version: choose another folder (--out)")
        for name, value in self.identity.items():
            if held.get(name) == value:
                continue
            other = _OTHER.get(name, f"its {name} is {held.get(name)}, this command's is {value}")
            raise UserError(
                f"{self.folder} holds another data set: {other}. "
                "Choose another folder with --out, or the settings it was made with (its config.yaml)"
            )
        return summary


def sole_filler(folder: Path) -> AbstractContextManager[None]:
    """Keeps other passes out of `folder`; raises as `sole_writer`."""
    busy = f"another command is filling {folder}: wait for it, or choose another --out"
    return sole_writer(folder, busy, "choose another folder with --out")


def _key(query: Query) -> tuple[str, str, str]:
    return query.pair.shop_id, query.pair.pair_id, query.digest


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows, but for a last line that a killed pass left torn."""
    rows = read_jsonl(path, torn_tail=True) if path.exists() else []
    for number, row in enumerate(rows, start=1):
        lacking = [name for name in _FIELDS if name not in row]
        if lacking:
            raise RunDirectoryError(f"{path}, row {number} lacks {', '.join(lacking)}: choose another --out")
    return rows
