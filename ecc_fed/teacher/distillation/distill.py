"""The distillation set: the customer side of a corpus goes to the teacher, its replies become labels (paper, IV).

What is asked is fixed before anything is sent, so that its cost can be told, and a later pass knows
what is answered already.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from ecc_fed.core.completion import FewShotPart, estimate_tokens
from ecc_fed.core.protocols import Teacher
from ecc_fed.core.records import OrderRecord, Pair, Shop, Split, TeacherReply, TeacherRequest
from ecc_fed.teacher.cost import cost_usd
from ecc_fed.teacher.prompts import few_shot_part, prompt_after
from ecc_fed.teacher.wording import TABLE_TWO, PromptLayout

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Query:
    """One question of the set. `digest` stands for everything that the shop says to the teacher."""

    pair: Pair
    split: Split
    request: TeacherRequest
    digest: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a pass will use, by rule of thumb: replies as long as the corpus's own, or (`most_usd`) of full length.

    Discounts for cached prompts, thoughts and repeated attempts are not in it.
    """

    requests: int
    input_tokens: int
    output_tokens: int
    usd: float
    most_usd: float


def plan_queries(shops: Sequence[Shop], splits: Sequence[Split], num_examples: int) -> list[Query]:
    """Every query of the chosen splits, shop by shop.

    The examples are the `num_examples` most recent history pairs, the same for all of a shop's
    stream, so that providers can cache them. A history pair sees none of its own session: the
    teacher would only copy the answer.
    """
    return [query for shop in shops for split in splits for query in _queries(shop, split, num_examples)]


def _queries(shop: Shop, split: Split, num_examples: int) -> Iterator[Query]:
    said_by = [(pair.session_id, (pair.query, pair.reply), pair.customer) for pair in shop.history]
    recent = _last(said_by, num_examples)
    recent_sessions = {session_id for session_id, _, _ in recent}
    shared = _Examples.of(recent)
    without_session: dict[str, _Examples] = {}
    pairs: tuple[Pair, ...] = getattr(shop, split)
    for pair in pairs:
        session_id, examples = pair.session_id, shared
        if session_id in recent_sessions:
            if session_id not in without_session:
                others = [said for said in said_by if said[0] != session_id]
                without_session[session_id] = _Examples.of(_last(others, num_examples))
            examples = without_session[session_id]
        request = TeacherRequest(
            shop_id=shop.shop_id,
            turns=pair.prompt,
            examples=examples.pairs,
            purpose="distill",
            customer=pair.customer,
            example_customers=examples.customers,
        )
        turns = [[turn.role, turn.text] for turn in pair.prompt]
        yield Query(pair, split, request, _sha256([examples.digest, turns]))


@dataclass(frozen=True)
class _Examples:
    pairs: tuple[tuple[str, str], ...]
    customers: tuple[OrderRecord | None, ...]
    digest: str

    @classmethod
    def of(cls, said: Sequence[tuple[str, tuple[str, str], OrderRecord | None]]) -> _Examples:
        pairs = tuple(pair for _, pair, _ in said)
        return cls(pairs, tuple(customer for _, _, customer in said), _sha256(pairs))


def _last(items: Sequence[_Item], count: int) -> Sequence[_Item]:
    return items[max(0, len(items) - count) :]


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def identity(queries: Iterable[Query], teacher: Teacher, layout: PromptLayout, redaction: str) -> dict[str, Any]:
    """What makes a data set this one: passes that differ in it must not be mixed."""
    corpus = hashlib.sha256()
    for query in queries:
        corpus.update(f"{query.pair.shop_id}\x1f{query.pair.pair_id}\x1f{query.digest}\n".encode("utf-8", "replace"))
    # Sets that were begun before words could be set have no such line.
    own = {} if layout == TABLE_TWO[layout.language] else {"prompt_sha256": _sha256(asdict(layout))}
    return {
        "model": teacher.model,
        "decoding": dict(sorted(teacher.decoding.items())),
        "language": layout.language,
        "redaction": redaction,
        "corpus_sha256": corpus.hexdigest(),
        **own,
    }


def estimate(queries: Sequence[Query], teacher: Teacher, layout: PromptLayout) -> Estimate:
    """What asking `queries` will use; prompts that repeat within a shop are asked once."""
    part: FewShotPart | None = None
    examples: tuple[tuple[str, str], ...] | None = None
    distinct = {(query.pair.shop_id, query.digest): query for query in queries}.values()
    input_tokens = output_tokens = 0
    for query in distinct:
        if part is None or query.request.examples is not examples:
            examples = query.request.examples
            part = few_shot_part(examples, layout)
        input_tokens += prompt_after(part, query.request.turns).tokens
        output_tokens += min(estimate_tokens(query.pair.reply), teacher.max_output_tokens)
    return Estimate(
        requests=len(distinct),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        usd=cost_usd(teacher, input_tokens, output_tokens),
        most_usd=cost_usd(teacher, input_tokens, len(distinct) * teacher.max_output_tokens),
    )


def row_of(query: Query, reply: TeacherReply) -> Mapping[str, Any]:
    """A line of the data set. It holds the dialogue in plain text: it is as private as the corpus."""
    return {
        "pair_id": query.pair.pair_id,
        "shop_id": query.pair.shop_id,
        "session_id": query.pair.session_id,
        "split": query.split,
        "context": [{"role": turn.role, "text": turn.text} for turn in query.pair.context],
        "query": query.pair.query,
        "reply": reply.text,
        "model_version": reply.model_version,
        "input_tokens": reply.input_tokens,
        "output_tokens": reply.output_tokens,
        "cost_usd": reply.cost_usd,
        "cached": reply.cached,
        "prompt_sha256": query.digest,
    }
