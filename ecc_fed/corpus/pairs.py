"""Pairs with their context from a session, and a shop's split in the order of its sessions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ecc_fed.core.errors import CorpusError
from ecc_fed.core.records import Pair, Session, Shop

_PLACEHOLDER = re.compile(r"\[[^\[\]]*\]")
_LETTER = re.compile(r"[^\W\d_]")
_DIGITS = re.compile(r"\d+")
_NO_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class PairLimits:
    """Limits on a pair, in tokens of `count_tokens` (characters unless told otherwise).

    max_context_tokens:    query and context together; context is cut from the left to whole turns   >= 1
    max_reply_tokens:      longer replies are dropped: half a reply teaches to stop mid-sentence      >= 1
    min_reply_tokens:      shorter replies ("嗯") are dropped                                         >= 1
    max_pairs_per_session: only the last so many pairs of a session; 1 gives one pair a dialogue      >= 1 or None
    """

    max_context_tokens: int = 256
    max_reply_tokens: int = 512
    min_reply_tokens: int = 2
    max_pairs_per_session: int | None = None
    count_tokens: Callable[[str], int] = len

    def __post_init__(self) -> None:
        for name in ("max_context_tokens", "max_reply_tokens", "min_reply_tokens"):
            if getattr(self, name) < 1:
                raise CorpusError(f"corpus.{name} is {getattr(self, name)}; set it to 1 or more.")
        if self.min_reply_tokens > self.max_reply_tokens:
            raise CorpusError(
                f"corpus.min_reply_tokens ({self.min_reply_tokens}) is above corpus.max_reply_tokens "
                f"({self.max_reply_tokens}): no reply would be left. Lower it."
            )
        if self.max_pairs_per_session is not None and self.max_pairs_per_session < 1:
            raise CorpusError(
                f"corpus.max_pairs_per_session is {self.max_pairs_per_session}; set it to 1 or more, or to null."
            )


def says_something(reply: str) -> bool:
    """True if `reply` has a letter or a Chinese character outside placeholders such as [订单x]."""
    if "[" in reply:
        reply = _PLACEHOLDER.sub("", reply)
    return _LETTER.search(reply) is not None


def build_pairs(
    session: Session, shop_id: str, limits: PairLimits = PairLimits(), dropped: Counter[str] | None = None
) -> list[Pair]:
    """One pair for every agent turn that answers a customer turn, in order; `dropped` counts the rest by reason.

    The query is the customer turn right before the reply; the context is what was said before it, cut
    from the left to whole turns so that query and context fit `limits.max_context_tokens`.
    """
    dropped = Counter() if dropped is None else dropped
    turns = session.turns
    sizes = [limits.count_tokens(turn.text) for turn in turns]
    pairs: list[Pair] = []
    for i in range(1, len(turns)):
        if turns[i].role != "agent" or turns[i - 1].role != "customer":
            continue
        if sizes[i] > limits.max_reply_tokens:
            dropped["reply_too_long"] += 1
        elif sizes[i] < limits.min_reply_tokens:
            dropped["reply_too_short"] += 1
        elif not says_something(turns[i].text):
            dropped["reply_without_words"] += 1
        elif sizes[i - 1] > limits.max_context_tokens:
            dropped["query_too_long"] += 1
        else:
            start, room = i - 1, limits.max_context_tokens - sizes[i - 1]
            while start > 0 and sizes[start - 1] <= room:
                start -= 1
                room -= sizes[start]
            pairs.append(
                Pair(
                    pair_id=f"{session.session_id}:{i}",
                    session_id=session.session_id,
                    shop_id=shop_id,
                    context=turns[start : i - 1],
                    query=turns[i - 1].text,
                    reply=turns[i].text,
                    position=session.position,
                )
            )
    if limits.max_pairs_per_session is not None and len(pairs) > limits.max_pairs_per_session:
        dropped["over_session_cap"] += len(pairs) - limits.max_pairs_per_session
        pairs = pairs[-limits.max_pairs_per_session :]
    return pairs


def split_bounds(num_sessions: int, history_share: float, test_share: float) -> tuple[int, int]:
    """(end of history, end of stream) for sessions in order; history, stream and test get one session or more.

    history_share: 0 <= h, test_share: 0 < t, h + t < 1. A history share of 0 gives an empty history.

    Raises:
        CorpusError: shares out of range, or too few sessions to give each split one.
    """
    if history_share < 0 or test_share <= 0 or not history_share + test_share < 1:
        raise CorpusError(
            f"corpus.history_share={history_share} and corpus.test_share={test_share} must satisfy "
            "0 <= history_share, 0 < test_share and history_share + test_share < 1."
        )
    needed = 3 if history_share > 0 else 2
    if num_sessions < needed:
        raise CorpusError(
            f"{num_sessions} sessions cannot be split into history, stream and test: {needed} or more are needed"
        )
    test = min(max(1, round(num_sessions * test_share)), num_sessions - needed + 1)
    history = round(num_sessions * history_share)
    if history_share > 0:
        history = min(max(1, history), num_sessions - test - 1)
    return history, num_sessions - test


def _near_form(pair: Pair) -> int:
    """The pair's text with numbers masked and punctuation dropped, hashed (64 bits keep a shop's set small)."""
    text = "\n".join([*(turn.text for turn in pair.context), pair.query, pair.reply])
    return hash(_NO_WORD.sub("", _DIGITS.sub("0", text)).lower())


def collect_pairs(
    sessions: Sequence[Session],
    shop_id: str,
    limits: PairLimits,
    seen: set[int],
    dropped: Counter[str],
    max_pairs: int | None = None,
) -> list[Pair]:
    """Pairs of `sessions` in order, none like one in `seen` (which grows), at most `max_pairs`.

    Two pairs are alike if context, query and reply are equal but for numbers, punctuation and case.
    """
    pairs: list[Pair] = []
    for session in sessions:
        for pair in build_pairs(session, shop_id, limits, dropped):
            form = _near_form(pair)
            if form in seen:
                dropped["duplicate"] += 1
            elif max_pairs is not None and len(pairs) >= max_pairs:
                dropped["over_shop_cap"] += 1
            else:
                seen.add(form)
                pairs.append(pair)
    return pairs


def checked_shop(shop: Shop) -> Shop:
    """`shop` itself.

    Raises:
        CorpusError: it has no stream pair or no test pair.
    """
    for split, pairs in (("stream", shop.stream), ("test", shop.test)):
        if not pairs:
            raise CorpusError(
                f"shop {shop.shop_id} has no {split} pair left: its {split} sessions hold no reply within the length "
                f"limits that the shop did not give before. Ask for fewer shops (corpus.num_shops), raise the "
                f"{split} share, or loosen corpus.max_reply_tokens and corpus.max_context_tokens."
            )
    return shop
