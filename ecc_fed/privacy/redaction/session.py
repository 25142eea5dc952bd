"""One redacted dialogue: what leaves, and the map that stays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ecc_fed.core.records import Hidden, OrderRecord, Restored, Turn
from ecc_fed.privacy.redaction.draft import Draft, Found
from ecc_fed.privacy.redaction.folding import bones
from ecc_fed.privacy.redaction.placeholders import LABELS, TYPED, Language, canonical, mask_of, pattern_of


@dataclass(frozen=True)
class PlaceholderSession:
    """Turns with placeholders; equal values of a dialogue have one, however they were written."""

    turns: tuple[Turn, ...]
    hidden: tuple[Hidden, ...]
    language: Language

    @cached_property
    def _values(self) -> dict[str, str]:
        return {each.placeholder: each.value for each in self.hidden}

    def restore(self, text: str) -> Restored:
        """`text` with this customer's own values; other placeholders are left out."""
        own, unknown = 0, []

        def value_of(match: re.Match[str]) -> str:
            nonlocal own
            name = canonical(match)
            if name not in self._values:
                unknown.append(name)
                return ""
            own += 1
            return self._values[name]

        restored = pattern_of(self.language).sub(value_of, text)
        return Restored(restored, own, tuple(unknown))

    def masked(self) -> tuple[Turn, ...]:
        """The turns with JDDC's form, `[电话x]`, in the places of values, and of what was typed alike."""
        masks = {each.placeholder: mask_of(each.kind, self.language) for each in self.hidden if each.placeholder}

        def mask(match: re.Match[str]) -> str:
            return masks[canonical(match)]

        return tuple(Turn(turn.role, pattern_of(self.language).sub(mask, turn.text)) for turn in self.turns)


def session_of(draft: Draft, known: OrderRecord | None, language: Language) -> PlaceholderSession:
    """What was taken becomes placeholders, numbered in the order in which values were said."""
    labels, numbers = LABELS[language], Counter[str]()
    hidden: dict[tuple[str, str], Hidden] = {}
    cuts: list[list[tuple[int, int, str]]] = [[] for _ in draft.turns]
    for each in sorted(draft.found, key=lambda found: (found.places[0].turn, found.places[0].start)):
        value, key = _value_of(draft, each)
        if key not in hidden:
            numbers[each.kind] += 1
            hidden[key] = Hidden(each.kind, value, f"[{labels[each.kind]}{numbers[each.kind]}]")
        for place in each.places:
            cuts[place.turn].append((*draft.in_text(place), hidden[key].placeholder))
    on_record = [Hidden(kind, value) for kind, value in (known.values() if known is not None else ())]
    turns = [Turn(turn.role, _with_cuts(turn.text, cut)) for turn, cut in zip(draft.turns, cuts, strict=True)]
    return PlaceholderSession(tuple(turns), (*hidden.values(), *on_record), language)


def _value_of(draft: Draft, found: Found) -> tuple[str, tuple[str, str]]:
    """The value as it was said, and what makes it the same as another mention's."""
    said = draft.said(found.places[0]) if len(found.places) == 1 else found.value
    return said, (TYPED, said) if found.kind == TYPED else ("", bones(said))


def _with_cuts(text: str, cuts: Sequence[tuple[int, int, str]]) -> str:
    """`text` with placeholders in the places of the cuts; where one character is in two, the first has it."""
    parts, done = [], 0
    for start, stop, placeholder in sorted(cuts):
        parts += [text[done:start], placeholder]
        done = stop
    return "".join([*parts, text[done:]])
