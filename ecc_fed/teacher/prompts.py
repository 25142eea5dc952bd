"""The few-shot prompt of the paper's Table II: a fixed part with the shop's N examples, then the dialogue.

The fixed part comes first and is the same for every query of a shop, so that providers can cache
it. Two things differ from Table II: a closing line parts the examples from the customer who is
waiting, and the dialogue may hold several turns. Every text is brought onto one line, so that no
customer can write a line that reads as another speaker's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecc_fed.core.completion import FewShotPart, Language, TeacherPrompt
from ecc_fed.core.records import Role, Turn


@dataclass(frozen=True, slots=True)
class Template:
    """Table II in one language."""

    role: str
    examples_follow: str
    dialogue_follows: str
    speakers: dict[Role, str]


TEMPLATES: dict[Language, Template] = {
    "zh": Template(
        role=(
            "假设你是一名电商客服，精通电商领域的专业知识，服务意识强，能够妥善处理顾客的各种诉求。"
            "请你以电商客服的身份接待下面的顾客。"
        ),
        examples_follow="以下是一些供你参考的示例。",
        dialogue_follows="现在顾客来了，请只回复客服要说的话。",
        speakers={"customer": "顾客：", "agent": "客服："},
    ),
    "en": Template(
        role=(
            "Assuming that you are an e-commerce customer service agent who is able to answer the specialized "
            "knowledge in e-commerce, has good service consciousness, and is able to deal with the customer's "
            "request properly, you are asked to play the role of an e-commerce customer service agent in order to "
            "deal with the customers in the following."
        ),
        examples_follow="Here are some examples for your reference.",
        dialogue_follows="The customer is waiting now: reply with the words of the customer service only.",
        speakers={"customer": "Customer: ", "agent": "Customer Service: "},
    ),
}


def one_line(text: str) -> str:
    """`text` on one line, encodable as UTF-8: runs of white space become one space, lone surrogates "?"."""
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").split())


def few_shot_part(examples: Sequence[tuple[str, str]], language: Language = "zh") -> FewShotPart:
    """The fixed part with all different examples (their number is the paper's N, 500 there).

    `examples` are (question, answer), oldest first, and stay in that order; of equal pairs the most
    recent stays, pairs without a question or an answer are left out. A question whose answer
    changed stays with both answers.
    """
    template = TEMPLATES[language]
    pairs = [(one_line(question), one_line(answer)) for question, answer in examples]
    newest_first = dict.fromkeys(pair for pair in reversed(pairs) if all(pair))
    kept = tuple(reversed(newest_first))
    customer, agent = template.speakers["customer"], template.speakers["agent"]
    return FewShotPart(
        language=language,
        examples=kept,
        head=f"{template.role}\n" + (f"{template.examples_follow}\n" if kept else ""),
        examples_text="".join(f"{customer}{question}\n{agent}{answer}\n" for question, answer in kept),
        tail=f"{template.dialogue_follows}\n",
    )


def prompt_after(few_shot: FewShotPart, turns: Sequence[Turn]) -> TeacherPrompt:
    """The prompt for one dialogue behind a fixed part; empty turns are left out.

    Raises:
        ValueError: no turn says anything.
    """
    said = tuple(Turn(turn.role, text) for turn in turns if (text := one_line(turn.text)))
    if not said:
        raise ValueError("a request to the teacher needs at least one turn with text")
    speakers = TEMPLATES[few_shot.language].speakers
    dialogue = "".join(f"{speakers[turn.role]}{turn.text}\n" for turn in said) + speakers["agent"].rstrip()
    return TeacherPrompt(few_shot, said, dialogue)


# Says nothing of any shop: whether a teacher is there at all.
PROBE_PROMPT = prompt_after(few_shot_part((), "en"), (Turn("customer", "?"),))
