"""The few-shot prompt of the paper's Table II: a fixed part with the shop's N examples, then the dialogue.

The fixed part comes first and is the same for every query of a shop, so that providers can cache
it. Two things differ from Table II: a closing line parts the examples from the customer who is
waiting, and the dialogue may hold several turns. Every text is brought onto one line, so that no
customer can write a line that reads as another speaker's. Its words are settings (`wording`).
"""

from __future__ import annotations

from collections.abc import Sequence

from ecc_fed.core.completion import FewShotPart, TeacherPrompt
from ecc_fed.core.records import Turn
from ecc_fed.teacher.wording import TABLE_TWO, PromptLayout


def one_line(text: str) -> str:
    """`text` on one line, encodable as UTF-8: runs of white space become one space, lone surrogates "?"."""
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").split())


def few_shot_part(examples: Sequence[tuple[str, str]], layout: PromptLayout = TABLE_TWO["zh"]) -> FewShotPart:
    """The fixed part with all different examples (their number is the paper's N, 500 there).

    `examples` are (question, answer), oldest first, and stay in that order; of equal pairs the most
    recent stays, pairs without a question or an answer are left out. A question whose answer
    changed stays with both answers.
    """
    pairs = [(one_line(question), one_line(answer)) for question, answer in examples]
    newest_first = dict.fromkeys(pair for pair in reversed(pairs) if all(pair))
    kept = tuple(reversed(newest_first))
    names = {"customer": layout.speakers.customer, "agent": layout.speakers.agent}
    filled = (layout.example.filled({**names, "question": question, "answer": answer}) for question, answer in kept)
    return FewShotPart(
        language=layout.language,
        examples=kept,
        head=_line(layout.instruction) + (_line(layout.examples_follow) if kept else ""),
        examples_text="".join(map(_line, filled)),
        tail=_line(layout.dialogue_follows),
        speakers=layout.speakers,
    )


def _line(text: str) -> str:
    return f"{text}\n" if text else ""


def prompt_after(few_shot: FewShotPart, turns: Sequence[Turn]) -> TeacherPrompt:
    """The prompt for one dialogue behind a fixed part; empty turns are left out.

    Raises:
        ValueError: no turn says anything.
    """
    said = tuple(Turn(turn.role, text) for turn in turns if (text := one_line(turn.text)))
    if not said:
        raise ValueError("a request to the teacher needs at least one turn with text")
    speakers = few_shot.speakers
    dialogue = "".join(f"{speakers.of(turn.role)}{turn.text}\n" for turn in said) + speakers.agent.rstrip()
    return TeacherPrompt(few_shot, said, dialogue)


# Says nothing of any shop: whether a teacher is there at all.
PROBE_PROMPT = prompt_after(few_shot_part((), TABLE_TWO["en"]), (Turn("customer", "?"),))
