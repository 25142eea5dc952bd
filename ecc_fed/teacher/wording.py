"""Our own words around a shop's dialogues on their way to the cloud: a part of the group `prompt` of a run.

Dialogues and examples come into them redacted (`gateway.gateway`), and as text alone (`core.text_layout`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import get_args

from ecc_fed.core.completion import Language, Speakers
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.text_layout import TextLayout, read_layout

# One text for all languages of prompts, or each language's own.
Text = str | Mapping[str, str]

LANGUAGES: tuple[Language, ...] = get_args(Language)
_OPTIONAL = ("prompt.examples_follow", "prompt.dialogue_follows", "prompt.system")
_COLONS = (":", "：")
# The places of an example.
_SAID, _NAMES = ("question", "answer"), ("customer", "agent")
_INSTRUCTION = {
    "zh": "假设你是一名电商客服，精通电商领域的专业知识，服务意识强，能够妥善处理顾客的各种诉求。"
    "请你以电商客服的身份接待下面的顾客。",
    "en": "Assuming that you are an e-commerce customer service agent who is able to answer the specialized "
    "knowledge in e-commerce, has good service consciousness, and is able to deal with the customer's "
    "request properly, you are asked to play the role of an e-commerce customer service agent in order to "
    "deal with the customers in the following.",
}
_EXAMPLES_FOLLOW = {"zh": "以下是一些供你参考的示例。", "en": "Here are some examples for your reference."}
_DIALOGUE_FOLLOWS = {
    "zh": "现在顾客来了，请只回复客服要说的话。",
    "en": "The customer is waiting now: reply with the words of the customer service only.",
}


@dataclass(frozen=True, slots=True)
class PromptLayout:
    """The words of one language. Lines have no break at their end; an empty one is left out."""

    language: Language
    instruction: str
    examples_follow: str
    example: TextLayout
    dialogue_follows: str
    speakers: Speakers


@dataclass(frozen=True)
class Wording:
    """What the cloud reads around the dialogues; as it stands, the paper's Table II.

    Each is one text, or one by language: {zh: …, en: …}.

    Raises:
        ConfigError: an unknown or a missing placeholder, a single brace, a language's text missing, or speakers who
            could not be told apart.
    """

    # The teacher's part, before all else.
    instruction: Text = field(default_factory=lambda: dict(_INSTRUCTION))
    # Before the examples, where there are any; null or empty: nothing.
    examples_follow: Text | None = field(default_factory=lambda: dict(_EXAMPLES_FOLLOW))
    # Each of the examples: {question} and {answer}, and where wished for {customer} and {agent}, the names below.
    example: Text = "{customer}{question}\n{agent}{answer}"
    # Between the examples and the customer who is waiting; null or empty: nothing.
    dialogue_follows: Text | None = field(default_factory=lambda: dict(_DIALOGUE_FOLLOWS))
    # The speakers, each with a colon: a teacher's further turns are known by them.
    customer: Text = field(default_factory=lambda: {"zh": "顾客：", "en": "Customer: "})
    agent: Text = field(default_factory=lambda: {"zh": "客服：", "en": "Customer Service: "})

    def __post_init__(self) -> None:
        for each in fields(self):
            _check_text(f"prompt.{each.name}", getattr(self, each.name))
        for language in LANGUAGES:
            self.layout(language)

    def layout(self, language: Language) -> PromptLayout:
        """The words of one language."""
        instruction = self.words("instruction", language)
        if not instruction.strip():
            raise ConfigError("prompt.instruction is empty. Say what the teacher is to do, or leave it as it is.")
        return PromptLayout(
            language,
            instruction,
            self.words("examples_follow", language),
            self._example(language),
            self.words("dialogue_follows", language),
            self._speakers(language),
        )

    def words(self, name: str, language: Language) -> str:
        """A setting that has no places, without breaks at its end; "" for null."""
        return read_layout(_text_of(getattr(self, name), language), f"prompt.{name}").filled({}).rstrip("\n")

    def _example(self, language: Language) -> TextLayout:
        text = _text_of(self.example, language).rstrip("\n")
        layout = read_layout(text, "prompt.example", needed=_SAID, known=_NAMES)
        around = layout.filled({**dict.fromkeys(_SAID, "\0"), **dict.fromkeys(_NAMES, "a")}).split("\0")
        between = [*around[1:-1], around[-1] + around[0]]
        if not all(any(sign.isalpha() for sign in words) for words in between):
            raise ConfigError(
                f"prompt.example={text!r} has no word between what two sides say. Redaction reads each side by itself, "
                "and parts of a number or name would come together: put a word before each, such as "
                "'Question: {question} Answer: {answer}'."
            )
        return layout

    def _speakers(self, language: Language) -> Speakers:
        named = {name: self.words(name, language) for name in _NAMES}
        for name, text in named.items():
            worded = any(sign.isalpha() for sign in text)
            if not worded or not text.strip().endswith(_COLONS) or len(text.splitlines()) > 1:
                raise ConfigError(
                    f"prompt.{name}={text!r} is no speaker's name: one line that ends in a colon, such as 'Customer: '."
                )
        if len({text.strip().casefold() for text in named.values()}) < len(named):
            raise ConfigError(f"prompt.customer and prompt.agent are both {named['agent']!r}: give them two names.")
        return Speakers(named["customer"], named["agent"])


def _check_text(setting: str, value: object) -> None:
    if value is None and setting in _OPTIONAL:
        return
    texts = list(value.values()) if isinstance(value, Mapping) else [value]
    for text in texts:
        if not isinstance(text, str):
            raise ConfigError(f"{setting}={value} is no text. Give one text, or {{zh: …, en: …}}.")
        if text.encode("utf-8", "replace").decode() != text:
            raise ConfigError(f"{setting} holds half of a character (a lone surrogate), which cannot be sent.")
    if isinstance(value, Mapping) and set(value) != set(LANGUAGES):
        raise ConfigError(
            f"{setting} has texts for {', '.join(map(str, value)) or 'no language'}: give one text for all languages, "
            f"or one for each of {', '.join(LANGUAGES)}."
        )


def _text_of(value: Text | None, language: Language) -> str:
    return "" if value is None else value if isinstance(value, str) else value[language]


TABLE_TWO: dict[Language, PromptLayout] = {language: Wording().layout(language) for language in LANGUAGES}
