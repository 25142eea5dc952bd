"""Whether a reply states its facts: string matching with the traps closed, no judge involved."""

from collections.abc import Sequence

from ecc_fed.core.truth import Fact


def _inside_longer_token(text: str, start: int, end: int) -> bool:
    """True where [start, end) is a piece of a longer number or Latin word ("9.9" in "19.9", "12" in "12.5")."""
    before, after = text[start - 1 : start], text[end : end + 1]
    first, last = text[start], text[end - 1]
    if first.isdigit() and (before.isdigit() or (before == "." and text[start - 2 : start - 1].isdigit())):
        return True
    if last.isdigit() and (after.isdigit() or (after == "." and text[end + 1 : end + 2].isdigit())):
        return True
    latin = str.isascii
    if first.isalpha() and latin(first) and before.isalpha() and latin(before):
        return True
    return bool(last.isalpha() and latin(last) and after.isalpha() and latin(after))


def find_form(text: str, form: str) -> list[tuple[int, int]]:
    """Every span of `form` in `text` that is not a piece of a longer number or Latin word."""
    spans = []
    start = text.find(form)
    while start >= 0:
        end = start + len(form)
        if not _inside_longer_token(text, start, end):
            spans.append((start, end))
        start = text.find(form, start + 1)
    return spans


def competing_values(reply: str, fact: Fact) -> list[str]:
    """The competing forms that `reply` states outside every span of an accepted form."""
    accepted = [span for form in fact.accepted for span in find_form(reply, form)]
    stated = []
    for form in fact.competing:
        spans = find_form(reply, form)
        if any(not any(a <= start and end <= b for a, b in accepted) for start, end in spans):
            stated.append(form)
    return stated


def states_fact(reply: str, fact: Fact) -> bool:
    """True if `reply` states `fact` in an accepted form and no competing value of it."""
    return any(find_form(reply, form) for form in fact.accepted) and not competing_values(reply, fact)


def states_all(reply: str, facts: Sequence[Fact]) -> bool:
    """True if `reply` states every fact and no competing value. Meaningless for no facts: raises.

    Raises:
        ValueError: `facts` is empty.
    """
    if not facts:
        raise ValueError("states_all needs at least one fact; filter the queries without facts first")
    return all(states_fact(reply, fact) for fact in facts)
