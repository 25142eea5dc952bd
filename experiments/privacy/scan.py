"""Looks for true values in what was sent. Knows nothing of the redactor: no table and no pattern is shared with it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

# Chinese digits, plain, spoken and of banknotes, in the order of 0 to 9.
_NUMERALS = ("〇零", "一壹幺", "二贰两", "三叁", "四肆", "五伍", "六陆", "七柒", "八捌", "九玖")
_AS_DIGIT = {sign: str(value) for value, signs in enumerate(_NUMERALS) for sign in signs}
_SPEAKERS = ("顾客：", "客服：", "Customer: ", "Customer Service: ")


def squeezed(text: str) -> str:
    """Letters and digits alone, in one width and one case, Chinese digits as digits."""
    wide = unicodedata.normalize("NFKC", text).casefold()
    return "".join(_AS_DIGIT.get(sign, sign) for sign in wide if unicodedata.category(sign)[0] in "LN")


class Haystack:
    """Sent text in every form in which a value may stand: as it is, squeezed, and each speaker's lines in a row."""

    def __init__(self, sent: str) -> None:
        self._sent = sent
        lines = sent.split("\n")
        self._forms = [squeezed(line) for line in lines]
        for speaker in _SPEAKERS:
            said = [line.removeprefix(speaker) for line in lines if line.startswith(speaker)]
            self._forms.append(squeezed("".join(said)))

    def holds(self, value: str) -> bool:
        """Whether the value stands there in any form."""
        thin = squeezed(value)
        return value in self._sent or any(thin in form for form in self._forms)

    def found(self, values: Iterable[str]) -> list[str]:
        """Those of `values` that do."""
        return [value for value in values if self.holds(value)]


def same_value(one: str, other: str) -> bool:
    """Whether two texts say the same, whatever the width, case and spacing."""
    return squeezed(one) == squeezed(other)


def joined(texts: Sequence[str]) -> str:
    """Turns as lines."""
    return "\n".join(texts)
