"""Queries that everybody may know, from a file of a user's own."""

from __future__ import annotations

from pathlib import Path

from ecc_fed.core.errors import CorpusError, RunDirectoryError
from ecc_fed.core.run_directory import read_jsonl
from ecc_fed.core.seeding import derive_rng

_LONGEST = 1000


def read_queries(path: Path, count: int, seed: int) -> tuple[str, ...]:
    """`count` of the file's queries, drawn by `seed`, in the file's order.

    Args:
        path: JSONL; every line is an object with a `query`, and what else it holds is nobody's matter here.
        count: how many.
        seed: of the run.

    Raises:
        CorpusError: no file, a line that is no query or one that stands there twice, or fewer than `count`; names the
            file, the row and the remedy.
    """
    if not path.is_file():
        raise CorpusError(f"arm.queries.path={path}: no such file. Give a JSONL file with a query on every line.")
    try:
        rows = read_jsonl(path)
    except RunDirectoryError as error:
        raise CorpusError(f"arm.queries.path={path} cannot be read: {error}") from error
    found: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        query = row.get("query")
        where = f"arm.queries.path={path}, row {number}"
        if not isinstance(query, str) or not 0 < len(query.strip()) <= _LONGEST or not _is_text(query):
            raise CorpusError(f'{where} has no query of 1 to {_LONGEST} characters. Write {{"query": "…"}} there.')
        if found.setdefault(query.strip(), number) != number:
            raise CorpusError(f"{where} asks what row {found[query.strip()]} asks. Take one of the two away.")
    if len(found) < count:
        raise CorpusError(
            f"arm.queries.path={path} holds {len(found)} queries and arm.queries.count={count}. Add some, or set "
            f"arm.queries.count={max(len(found), 1)}."
        )
    drawn = sorted(derive_rng(seed, "public_queries").permutation(len(found))[:count].tolist())
    queries = list(found)
    return tuple(queries[place] for place in drawn)


def _is_text(query: str) -> bool:
    """Not half a character, which JSON can write and no tokenizer reads."""
    return query == query.encode("utf-8", "ignore").decode("utf-8")
