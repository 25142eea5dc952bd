"""Whether a reply states its facts: string matching with the traps closed, no judge involved."""

import re
from collections.abc import Iterator, Sequence
from string import ascii_lowercase, ascii_uppercase

from ecc_fed.core.truth import Fact

# Where lowering all letters would make a text longer.
_FOLDED = str.maketrans(ascii_uppercase, ascii_lowercase)
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_WORDS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    f"eighteen|nineteen|{_TENS}|hundred"
)
_BEGINS_IN_NUMBER = re.compile(rf"\$?[0-9]|(?:{_WORDS})\b")
_ENDS_IN_NUMBER = re.compile(r"[0-9]%?\Z")
# What makes the English number behind it another one: "twenty five days", "2 to 3 days", "$5-$10".
_MORE_BEFORE = re.compile(
    rf"(?:(?<![a-z])(?:(?:{_TENS}|hundred and|hundred) |(?:{_WORDS}) ?(?:-|–|to|or) ?)|\$?[0-9]%? ?(?:-|–|to|or) ?)\Z"
)
_MORE_BEHIND = re.compile(r" ?(?:-|–|to|or) ?\$?[0-9]|,[0-9]{3}(?![0-9])")
_THOUSANDS_BEFORE = re.compile(r"[0-9],\Z")
_THREE_DIGITS = re.compile(r"[0-9]{3}(?![0-9])")
_REACH = 16
_ENGLISH = re.compile(r"[a-z$%]")


def _inside_longer_token(text: str, start: int, end: int) -> bool:
    """True where [start, end) is a piece of a longer number or Latin word ("9.9" in "19.9", "12" in "12.5")."""
    before, after = text[start - 1 : start], text[end : end + 1]
    first, last = text[start], text[end - 1]
    if first.isdigit() and (before.isdigit() or (before == "." and text[start - 2 : start - 1].isdigit())):
        return True
    if last.isdigit() and (after.isdigit() or (after == "." and text[end + 1 : end + 2].isdigit())):
        return True
    # "blue" of "sky-blue" is another color, "five days" of "thirty-five days" another time.
    if _is_latin(first) and (_is_latin(before) or (before == "-" and _is_latin(text[start - 2 : start - 1]))):
        return True
    return _is_latin(last) and (_is_latin(after) or (after == "-" and _is_latin(text[end + 1 : end + 2])))


def _inside_longer_amount(text: str, start: int, end: int) -> bool:
    """True where an English number in [start, end) is one end of a range, or a piece of a larger number."""
    form = text[start:end]
    if not _ENGLISH.search(form):
        return False
    if _BEGINS_IN_NUMBER.match(form):
        before = text[max(0, start - _REACH) : start]
        if _MORE_BEFORE.search(before) or (_THOUSANDS_BEFORE.search(before) and _THREE_DIGITS.match(form)):
            return True
    return bool(_ENDS_IN_NUMBER.search(form) and _MORE_BEHIND.match(text, end))


def _fold(text: str) -> str:
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text.translate(_FOLDED)


def _is_latin(character: str) -> bool:
    return character.isascii() and character.isalpha()


def find_form(text: str, form: str) -> list[tuple[int, int]]:
    """Every span of `form` in `text` that is not a piece of a longer number or Latin word.

    Latin letters count as equal in either case: a sentence may begin with the form.
    """
    text, form = _fold(text), _fold(form)
    spans = []
    start = text.find(form)
    while start >= 0:
        end = start + len(form)
        if not (_inside_longer_token(text, start, end) or _inside_longer_amount(text, start, end)):
            spans.append((start, end))
        start = text.find(form, start + 1)
    return spans


def competing_values(reply: str, fact: Fact) -> list[str]:
    """The competing forms that `reply` states outside every span of an accepted form."""
    return list(_competing(reply, fact))


def _competing(reply: str, fact: Fact) -> Iterator[str]:
    accepted = [span for form in fact.accepted for span in find_form(reply, form)]
    for form in fact.competing:
        spans = find_form(reply, form)
        if any(not any(a <= start and end <= b for a, b in accepted) for start, end in spans):
            yield form


def states_fact(reply: str, fact: Fact) -> bool:
    """True if `reply` states `fact` in an accepted form and no competing value of it."""
    return any(find_form(reply, form) for form in fact.accepted) and not any(_competing(reply, fact))


def states_all(reply: str, facts: Sequence[Fact]) -> bool:
    """True if `reply` states every fact and no competing value. Meaningless for no facts: raises.

    Raises:
        ValueError: `facts` is empty.
    """
    if not facts:
        raise ValueError("states_all needs at least one fact; filter the queries without facts first")
    return all(states_fact(reply, fact) for fact in facts)
