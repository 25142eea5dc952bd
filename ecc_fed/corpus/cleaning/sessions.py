"""From a session as the file tells it to one that a model can read, and a count of every change.

Characters: full-width Latin letters, digits and signs become half-width (Chinese ，。！？：； stay), control and
zero-width characters go, runs of white-space become one space, runs of one punctuation mark become one, HTML
entities and tags go, marks between messages (`__eou__`) become a space. Links become [链接], emoji and emoji
codes [表情].
Turns: notices are cut (`notices.py`), a text said twice in one breath is kept once, consecutive turns of one
speaker are joined by a space, empty turns are dropped.

The characters of a session are cleaned in one go, its turns joined by line feeds: a regular expression
costs more to start than to run.
"""

from __future__ import annotations

import re
from collections import Counter

from ecc_fed.corpus.cleaning.notices import NoticeRules

LINK = "[链接]"
EMOJI = "[表情]"
_CHINESE_MARKS = "，！？：；（）"

_TABLE: dict[int, str | None] = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
for _mark in _CHINESE_MARKS:
    del _TABLE[ord(_mark)]
_TABLE |= dict.fromkeys([*range(0x20), 0x7F, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " ")
_TABLE |= dict.fromkeys(range(0x80, 0xA0), " ")
_TABLE |= dict.fromkeys([0x2028, 0x2029], " ")
_TABLE |= dict.fromkeys([0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070)], None)
_TABLE |= dict.fromkeys([*range(0xFE00, 0xFE10), 0xFEFF, 0xFFFC, 0xFFFD, *range(0xD800, 0xE000)], None)
del _TABLE[0x0A]


def _class_of(codes: list[int]) -> str:
    """A character class, adjacent codes as ranges."""
    spans: list[list[int]] = []
    for code in sorted(codes):
        if spans and code == spans[-1][1] + 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in spans)


_REWRITE = re.compile(f"[{_class_of(list(_TABLE))}]")
_EMOJI_CHARACTER = "\U0001f000-\U0001faff"
# A code may have lost its number on the way ("好的#E"); "#EMS" is a word.
_EMOJI = re.compile(
    rf"#E(?:-[a-z]*\d+|-(?![A-Za-z\d])|(?![A-Za-z\d\-]))|/:(?:\d{{3}}|\^[^\s\^]\^)|[{_EMOJI_CHARACTER}]"
)
_EMOJI_HINT = re.compile(f"[{_EMOJI_CHARACTER}]")
_EMOJI_RUN = re.compile(r"\[表情\](?: ?\[表情\])+")
_LINK = re.compile(r"(?:https?://|www\.)[A-Za-z0-9\-._~:/?#@!$&'*+;=%]+")
# Marks of other corpora between messages, where a column that is one turn holds several.
_SEPARATOR = re.compile(r" ?(?:__eo[ut]__|\[SEP\]) ?")
_ENTITIES = {"nbsp": " ", "lt": "<", "gt": ">", "amp": "&", "quot": '"', "#39": "'", "apos": "'"}
_ENTITY = re.compile(rf"&(?:amp;)*({'|'.join(_ENTITIES)});")  # "&amp;lt;" was escaped twice
_TAG_SIGNS = re.compile("([<>\n])")
_TAG_INSIDE = re.compile("/?[A-Za-z][^<>\n]{0,80}")
_PLACEHOLDER = re.compile(r"\[[^\[\]]*\]")
_MASK = re.compile(r"\[(?!表情\])[^\[\]]*\]")
_LETTER = re.compile(r"[^\W\d_]")
_CHINESE = re.compile("[\u4e00-\u9fff]")
_SPACES = re.compile(r" {2,}")
_MARK_RUN = re.compile(r"([~!?！？，。、；：])\1+")
_MARK_TWICE = re.compile(r"~~|!!|\?\?|！！|？？|，，|。。|、、|；；|：：")


def _unescape(text: str) -> str:
    """Without entities and tags; a tag may hide in another, and in entities."""
    text = _ENTITY.sub(lambda match: _ENTITIES[match[1]], text)
    return _without_tags(text) if "<" in text and ">" in text else text


def _without_tags(text: str) -> str:
    """A space in the place of every tag, the inner ones first, in one pass however deep they nest."""
    kept: list[str] = []
    opened: list[int] = []  # where in `kept` a "<" stands that can still begin a tag
    for part in _TAG_SIGNS.split(text):
        if part == "<":
            opened.append(len(kept))
        elif part == "\n":
            opened.clear()
        elif part == ">" and opened:
            start = opened.pop()
            if _TAG_INSIDE.fullmatch("".join(kept[start + 1 :])):
                del kept[start:]
                part = " "
            else:  # it stays, and no tag holds a ">"
                opened.clear()
        kept.append(part)
    return "".join(kept)


def clean_characters(text: str, edits: Counter[str]) -> str:
    """`text` with its characters cleaned; line feeds stay where they are. Idempotent."""
    if _REWRITE.search(text) is not None:
        text = text.translate(_TABLE)
    if "&" in text or "<" in text:
        text = _unescape(text)
    if "://" in text or "www." in text:
        text, found = _LINK.subn(LINK, text)
        if found:
            edits["link"] += found
    if "#E" in text or "/:" in text or _EMOJI_HINT.search(text) is not None:
        text, found = _EMOJI.subn(EMOJI, text)
        if found:
            edits["emoji"] += found
            text = _EMOJI_RUN.sub(EMOJI, text)
    if "__eo" in text or "[SEP]" in text:
        text, found = _SEPARATOR.subn(" ", text)
        edits["separator"] += found
    if _MARK_TWICE.search(text) is not None:
        text = _MARK_RUN.sub(r"\1", text)
    if "  " in text:
        text = _SPACES.sub(" ", text)
    return text


def _same_if_equal(text: str) -> bool:
    """True if equal text says the same thing: it has a word, and masks nothing ("现在[数字x]" may be two prices)."""
    return _MASK.search(text) is None and _LETTER.search(_PLACEHOLDER.sub("", text)) is not None


def drop_repetitions(text: str, edits: Counter[str]) -> str:
    """A turn that says something twice ("我要转人工 我要转人工", "在么? 怎么退货 在么?"), said once.

    A turn that is one text doubled is halved; of equal messages (split at spaces, with Chinese in them) the first
    is kept. Numbers alone and what masks something ("昨天[数字x] 今天[数字x] 昨天[数字x]") are left alone.
    """
    while (length := len(text)) >= 5:
        half = length // 2
        second = half + length % 2
        doubled = text[:half] == text[second:] and (text[half] == " " if length % 2 else length >= 8)
        if not (doubled and _same_if_equal(text[:half])):
            break
        edits["said_twice"] += 1
        text = text[:half].strip()
    if " " in text:
        messages = text.split(" ")
        if len(set(messages)) < len(messages):
            kept = list(dict.fromkeys(enumerate_repeatable(messages)))
            edits["said_twice"] += len(messages) - len(kept)
            text = " ".join([message for _, message in kept])
    return text


def enumerate_repeatable(messages: list[str]) -> list[tuple[int, str]]:
    """(0, message) for messages of which a repetition may go, (position, message) for those that stay."""
    return [
        (0 if len(message) > 1 and _same_if_equal(message) and _CHINESE.search(message) else i, message)
        for i, message in enumerate(messages, start=1)
    ]


def clean_session(
    by_agent: list[bool], texts: list[str], notices: NoticeRules, dropped: Counter[str], edits: Counter[str]
) -> tuple[bool, list[str]]:
    """(whether the agent speaks first, cleaned turns); speakers strictly take turns.

    `dropped` counts turns that are gone (empty, notice, repeated) or live on in their neighbour (merged);
    `edits` counts changes inside turns.
    """
    if not texts:
        return False, []
    joined = "\n".join(texts)
    if joined.count("\n") != len(texts) - 1:
        joined = "\n".join([text.replace("\n", " ") for text in texts])
    joined = clean_characters(joined, edits)
    joined = notices.cut_cards(joined, edits)
    turns: list[str | None] = [text.strip() for text in joined.split("\n")]
    for i, text in enumerate(turns):
        if text and notices.suspects(text, by_agent[i]):
            turns[i] = notices.cut(text, by_agent[i], edits) or None
    agent_first, last = by_agent[0], None  # `last`: who spoke the last kept turn
    cleaned: list[list[str]] = []  # what was said at a stretch
    previous = ""  # what that speaker said last
    for agent, text in zip(by_agent, turns, strict=True):
        if not text:
            dropped["notice" if text is None else "empty"] += 1
            continue
        # Most turns say nothing twice: look before the call.
        if text[0] == text[len(text) // 2] or " " in text:
            text = drop_repetitions(text, edits)
        if agent is not last:
            if last is None:
                agent_first = agent
            last = agent
            cleaned.append([text])
        elif text == previous and _MASK.search(text) is None:
            dropped["repeated"] += 1
            continue
        else:
            dropped["merged"] += 1
            cleaned[-1].append(text)
        previous = text
    return agent_first, [" ".join(said) for said in cleaned]
