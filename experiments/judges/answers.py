"""Human answers of a corpus with what a judge is asked to tell them from, and with what to hold them against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecc_fed.assembly.build import build_corpus, build_teacher
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.core.completion import TeacherPrompt
from ecc_fed.core.records import Pair
from ecc_fed.core.seeding import derive_rng
from ecc_fed.teacher.prompts import few_shot_part

_OTHERS = 2
_EXAMPLES = 500
_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Case:
    """One query of a dialogue.

    Attributes:
        pair: the query with its human answer.
        others: answers of other dialogues of the same shop and half, never the same text.
        teacher: the simulated teacher's reply, from the shop's latest pairs of other dialogues.
        part: every second character of the human answer or so, in order: the same answer, said in part.
    """

    pair: Pair
    others: tuple[str, ...]
    teacher: str
    part: str


def halves(corpus: str, path: str, num_pairs: int, seed: int) -> tuple[list[Case], list[Case]]:
    """Cases from two halves of the dialogues of a corpus file, at most `num_pairs` each: one to choose by, one to tell.

    Args:
        corpus: a file of conf/corpus, such as jddc.
        path: the dialogues.
        num_pairs: most cases of a half.
        seed: of the halves and of all draws.

    Raises:
        CorpusError: the file is missing or of another format.
    """
    given = [f"corpus={corpus}", f"corpus.path={path}", f"seed={seed}"]
    config = to_run_config(
        compose_run([*given, "corpus.max_pairs_per_shop=null", "corpus.max_test_pairs_per_shop=null"])
    )
    source = build_corpus(config)
    pairs = [pair for shop in map(source.shop, source.shop_ids()) for pair in (*shop.history, *shop.stream, *shop.test)]
    dialogues = sorted({(pair.shop_id, pair.session_id) for pair in pairs})
    first = {dialogues[int(i)] for i in derive_rng(seed, "half").permutation(len(dialogues))[: len(dialogues) // 2]}
    teacher = build_teacher(config)
    found = []
    for number, half in enumerate(
        [pair for pair in pairs if (_dialogue(pair) in first) is chosen] for chosen in (True, False)
    ):
        rng = derive_rng(seed, "cases", number)
        drawn = [half[int(i)] for i in np.sort(rng.permutation(len(half))[:num_pairs])]
        cases = []
        for pair in drawn:
            others = sorted({p.reply for p in half if p.shop_id == pair.shop_id and p.session_id != pair.session_id})
            others = [reply for reply in others if reply != pair.reply]
            if not others:
                continue
            chosen = tuple(others[int(i)] for i in rng.permutation(len(others))[:_OTHERS])
            known = [p for p in pairs if p.shop_id == pair.shop_id and p.session_id != pair.session_id]
            cases.append(Case(pair, chosen, _ask(teacher, pair, known[-_EXAMPLES:]), _part(pair.reply, rng)))
        found.append(cases)
    return found[0], found[1]


def _dialogue(pair: Pair) -> tuple[str, str]:
    return pair.shop_id, pair.session_id


def _ask(teacher: object, pair: Pair, known: Sequence[Pair]) -> str:
    part = few_shot_part([(each.query, each.reply) for each in known])
    prompt = TeacherPrompt(part, pair.prompt, pair.query)
    (completion,) = teacher.complete([prompt], _TIMEOUT_SECONDS)  # type: ignore[attr-defined]
    return str(completion.text)


def _part(text: str, rng: np.random.Generator) -> str:
    kept = "".join(letter for letter, draw in zip(text, rng.random(len(text)), strict=True) if draw < 0.5)
    return kept or text[:1]
