"""Public text that teaches the end model to see one question behind many wordings.

A shop's adapter learns from few pairs, and its customers ask in words that it never trained on. So the
base must already bring such questions together. Only public shops and training question forms are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ecc_fed.core.records import Turn
from ecc_fed.core.seeding import derive_rng
from ecc_fed.corpus.simulator.described import DescribedSession
from ecc_fed.corpus.simulator.public import query_contrasts

_RESTATE = ("您是想问：{}", "您的问题是：{}", "我理解您想问的是：{}")
_ASK = ("换个说法：{}", "我想问的是：{}", "用别的话说：{}")
_SAME = ("“{}”和“{}”是一个意思吗", "“{}”是不是在问“{}”")
_YES, _NO = "是的，意思相同。", "不是，意思不同。"


def restatements(seed: int) -> Iterator[DescribedSession]:
    """Endless tasks: say a customer's question in other words, or tell whether two questions are the same."""
    rng = derive_rng(seed, "restatements")
    previous = ""
    for row in query_contrasts(seed, held_out=False):
        if previous and rng.random() < 0.3:
            same = bool(rng.random() < 0.5)
            ask = str(rng.choice(_SAME)).format(row.query, row.paraphrase if same else previous)
            reply = _YES if same else _NO
        else:
            ask = str(rng.choice(_ASK)).format(row.query)
            reply = str(rng.choice(_RESTATE)).format(row.paraphrase)
        previous = row.query
        yield DescribedSession("", (Turn("customer", ask), Turn("agent", reply)))


def with_slips(sessions: Iterator[DescribedSession], share: float, seed: int) -> Iterator[DescribedSession]:
    """Drops or swaps a few characters in `share` of the customers' turns; what the reply quotes stays whole."""
    rng = derive_rng(seed, "slips")
    for session in sessions:
        turns = list(session.turns)
        for at, turn in enumerate(turns):
            if turn.role == "customer" and rng.random() < share:
                quoted = set(turns[at + 1].text) if at + 1 < len(turns) else set()
                turns[at] = Turn("customer", _slip(turn.text, quoted, rng))
        yield replace(session, turns=tuple(turns))


def _slip(text: str, quoted: set[str], rng: np.random.Generator) -> str:
    characters = list(text)
    for at in range(len(characters) - 1):
        draw = rng.random()
        if draw < 0.12 and characters[at] not in quoted:
            characters[at] = ""
        elif draw < 0.16 and not quoted & {characters[at], characters[at + 1]}:
            characters[at], characters[at + 1] = characters[at + 1], characters[at]
    return "".join(characters) or text
