"""The reply alone: what a teacher says to the customer, without its thoughts and without turns that it made up.

Servers without a parser for a model's thoughts leave them in the text, in as many forms as there are models; a prompt
that ends within a thought leaves its beginning out. A model that goes on with the dialogue by itself has answered
before that.
"""

from __future__ import annotations

import re

from ecc_fed.core.completion import Speakers
from ecc_fed.core.records import Role

_WORD = r"(?:\w+[:_])?(?:think|thinking|thoughts?|reasoning|reflection|analysis|scratchpad)"
_OPEN = rf"<{_WORD}>|\[{_WORD}\]|◁{_WORD}▷|<\|begin_of_thought\|>|<\|START_THINKING\|>|<\|channel>thought"
_CLOSE = rf"</{_WORD}>|\[/{_WORD}\]|◁/{_WORD}▷|<\|end_of_thought\|>|<\|END_THINKING\|>|<channel\|>"
_THOUGHT = re.compile(rf"(?P<open>{_OPEN})|(?P<close>{_CLOSE})", re.IGNORECASE)
# Channels (OpenAI's harmony): all but the final one are thoughts, with their control tokens or without.
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<]*<\|message\|>")
_BARE_CHANNELS = re.compile(r"\A\s*(?:analysis|commentary).*?assistant\s*final", re.DOTALL)
_BARE_ANALYSIS = re.compile(r"\Aanalysis(?=[^\sa-z]|[A-Z])")
# Around the reply, where a model was taught to mark it.
_ANSWER = re.compile(
    r"(?:<(?P<tag>answer|response|reply|final)>|<\|begin_of_solution\|>|<\|START_RESPONSE\|>)(?P<said>.*?)"
    r"(?:</(?:answer|response|reply|final)>|<\|end_of_solution\|>|<\|END_RESPONSE\|>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
# Control tokens that a server shows: nothing behind one is said to the customer.
_CONTROL = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|<｜[^｜<>\n]{1,40}｜>|</?s>|<(?:start|end)_of_turn>|\[/?INST\]|<(?:eos|bos|pad)>"
)
_CONTROLS_BEHIND = re.compile(rf"(?:\s*(?:{_CONTROL.pattern}))+\s*\Z")
_CONTROLS_AHEAD = re.compile(rf"\A(?:\s*(?:{_CONTROL.pattern})\s*(?:assistant|model|bot)?\b)+\s*", re.IGNORECASE)
_FENCE = re.compile(r"\A```[^\n`]*\n(?P<said>.*?)\n?```\Z", re.DOTALL)
_QUOTES = (("“", "”"), ('"', '"'), ("「", "」"), ("『", "』"))
_OTHER_NAMES: dict[Role, tuple[str, ...]] = {
    "agent": ("客服", "商家", "卖家", "店家", "助手", "Assistant", "Agent", "Customer Service", "Seller", "Support"),
    "customer": ("顾客", "客户", "买家", "用户", "消费者", "Customer", "User", "Buyer", "Human", "Client"),
}


def spoken(text: str, speakers: Speakers) -> tuple[str, str]:
    """The reply alone, and what was cut from it ("thoughts", "turns", both or nothing).

    A line that begins with a speaker's name, of the prompt's or another usual one, begins another turn.
    """
    thoughtless = _without_thoughts(text)
    said = _said(thoughtless, speakers)
    alone = _first_turn(said, speakers)
    cut = [name for name, was in (("thoughts", thoughtless != text), ("turns", alone != said)) if was]
    return _unwrapped(alone), " and ".join(cut)


def marks_thoughts(text: str) -> bool:
    """Whether a text has marks that part thoughts from a reply."""
    return any(mark.search(text) for mark in (_CHANNEL, _THOUGHT, _ANSWER))


def begins_thought(prompt: str) -> str:
    """The mark of a thought with which a prompt ends, so that the answer begins within it; "" where it does not."""
    marks = list(_THOUGHT.finditer(prompt))
    return marks[-1][0] if marks and marks[-1]["open"] and not prompt[marks[-1].end() :].strip() else ""


def _without_thoughts(text: str) -> str:
    channels = list(_CHANNEL.finditer(text))
    if channels:
        last = [found for found in channels if found[1] == "final"][-1:]
        return text[last[0].end() :] if last else ""
    text = _BARE_CHANNELS.sub("", text, count=1)
    if _BARE_ANALYSIS.match(text):
        return ""
    kept, begun, depth, start = "", False, 0, 0
    for found in _THOUGHT.finditer(text):
        if found["open"]:
            kept += "" if depth else text[start : found.start()]
            depth += 1
        elif depth:
            depth -= 1
        else:
            kept = ""  # Its beginning stood in the prompt.
        start, begun = found.end(), True
    kept += "" if depth else text[start:]
    answer = _ANSWER.search(kept)
    return answer["said"] if answer is not None else kept if begun else text


def _said(text: str, speakers: Speakers) -> str:
    """The text from the agent's words on."""
    said = _CONTROLS_BEHIND.sub("", _CONTROLS_AHEAD.sub("", text, count=1)).strip()
    fenced = _FENCE.match(said)
    return re.sub(rf"\A{_named('agent', speakers)}", "", (fenced["said"] if fenced else said).strip()).strip()


def _first_turn(said: str, speakers: Speakers) -> str:
    """What stands before another turn, by a line that begins with a name, by a name of the prompt, or by a mark."""
    agent, customer = _named("agent", speakers), _named("customer", speakers)
    own = "|".join(re.escape(name.strip(" ：:")) for name in (speakers.customer, speakers.agent))
    alone = re.split(rf"(?:\A|\n)\s*(?:{agent}|{customer})|\s(?:{own})[：:]", said, maxsplit=1)[0]
    return _CONTROL.split(alone, maxsplit=1)[0].strip()


def _unwrapped(text: str) -> str:
    """Without quotation marks around the whole."""
    for before, after in _QUOTES:
        inner = text[1:-1]
        if len(text) > 2 and text[0] == before and text[-1] == after and not {before, after} & set(inner):
            return inner.strip()
    return text


def _named(role: Role, speakers: Speakers) -> str:
    """A pattern for a speaker's name, in bold or not, numbered or not, with either colon."""
    own = speakers.of(role).strip(" ：:")
    names = "|".join(map(re.escape, dict.fromkeys((own, *_OTHER_NAMES[role]))))
    return rf"[*_#]*(?i:{names})\d*[*_]*\s?[：:][*_]*"
