"""Blanks that a tokenizer puts between the pieces of a text, where nobody said any.

BERT's kind splits a text at every Chinese character and mark, forgets where blanks stood, and joins all pieces by one.
What people write has blanks between Latin words, and none beside a Chinese character or a mark.
"""

from __future__ import annotations

import re
from typing import Any
from weakref import WeakKeyDictionary

_HAN = r"\u2e80-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff"
# Beside what no blank stands: Chinese, and every mark or picture.
_JOINED = rf"[{_HAN}]|[^\w\s]"
# Marks of Latin sentences, behind which a blank stands before a word.
_SENTENCE = re.compile(r"([,!?;]) (?=[A-Za-z])")
_KEPT = "\x00"
_BLANK = re.compile(rf"(?<={_JOINED}) | (?={_JOINED})")

_KNOWN: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def puts_blanks(tokenizer: Any) -> bool:
    """Whether a text comes back from the tokenizer with blanks between its Chinese characters."""
    if tokenizer not in _KNOWN:
        single = (index for piece, index in sorted(tokenizer.get_vocab().items()) if re.fullmatch(f"[{_HAN}]", piece))
        pair = [index for index, _ in zip(single, range(2), strict=False)]
        shown = tokenizer.decode(pair, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        _KNOWN[tokenizer] = len(pair) == 2 and " " in shown.strip()
    return _KNOWN[tokenizer]


def without_blanks(tokenizer: Any, text: str) -> str:
    """`text` as the tokenizer decodes it, without the blanks that are its own."""
    if not puts_blanks(tokenizer):
        return text
    kept = _SENTENCE.sub(rf"\1{_KEPT}", text.replace(_KEPT, ""))
    return _BLANK.sub("", kept).replace(_KEPT, " ")
