"""Which language dialogues are in, told from the scripts of their letters. A guess that needs no model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

MIXED, OTHER = "mixed", "other"
# A corpus in which so many dialogues are in another language than most is in several.
_MIXED_SHARE = 0.1
# Of the words of English text some 40 in 100 are among these, of other languages in Latin letters a few.
_ENGLISH = frozenset(
    re.findall(
        r"\w+",
        "the a an and or to of in on is are was be it its this that you your i my me we our for with have has do does "
        "can will not no yes if at as from but what when how please hi hello thanks thank",
    )
)
_ENGLISH_SHARE = 0.15
_PLACEHOLDER = re.compile(r"\[[^\[\]]*\]|<[^<>]*>")
# What counts as a word of each script: Chinese and Japanese write none apart, so every character is one.
_WORDS = {
    "han": re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"),
    "ja": re.compile(r"[\u3040-\u30ff]"),
    "ko": re.compile(r"[\uac00-\ud7af]+"),
    "latin": re.compile(r"[A-Za-z\u00c0-\u024f]{2,}"),
    "ru": re.compile(r"[\u0400-\u04ff]+"),
    "ar": re.compile(r"[\u0600-\u06ff]+"),
    "th": re.compile(r"[\u0e00-\u0e7f]+"),
    "hi": re.compile(r"[\u0900-\u097f]+"),
}


def language_of(dialogues: Iterable[str]) -> str | None:
    """The language of the dialogues: zh, en, ja, ko, ru, ar, th, hi, "mixed", or "other"; None without any letter.

    Scripts that several languages share go to the one that most shops speak: Cyrillic is ru. Latin letters are en where
    English's little words are among them, and "other" where they are not. "mixed": one dialogue in ten or more is
    in another language than most. Names and models in Latin letters within a dialogue change nothing.
    """
    counts: Counter[str] = Counter()
    english: Counter[bool] = Counter()
    for dialogue in dialogues:
        text = _PLACEHOLDER.sub(" ", dialogue)
        words = {script: found for script, pattern in _WORDS.items() if (found := pattern.findall(text))}
        if not words:
            continue
        if "ja" in words:  # Han beside kana is Japanese
            words["ja"] += words.pop("han", [])
        script = max(words, key=lambda name: len(words[name]))
        counts[script] += 1
        if script == "latin":
            english.update(word.lower() in _ENGLISH for word in words[script])
    if not counts:
        return None
    (most, count), total = counts.most_common(1)[0], counts.total()
    if total - count >= _MIXED_SHARE * total:
        return MIXED
    if most == "latin":
        return "en" if english[True] >= _ENGLISH_SHARE * english.total() else OTHER
    return "zh" if most == "han" else most
