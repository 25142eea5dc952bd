"""What a language pack holds: intents with their surface forms and values, products, voices, customers' data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Pool = Literal["public", "private"]
Scope = Literal["shop", "product", "platform", "none"]
# Surface forms of one value; the first is the one most shops use. Those behind the second nobody says: they count as
# the value in a reply as well.
Value = tuple[str, ...]
Forms = tuple[str, ...]
SPOKEN = 2


@dataclass(frozen=True, eq=False)
class Intent:
    """What a customer may want, the ways to ask for it and to answer it, and the values of its fact.

    `scope` says whose fact it is; "none" marks talk that states no fact. `after` names the intents
    after which the elliptical questions make sense. `competing` maps a value to the forms that a
    right reply must not state.
    """

    name: str
    scope: Scope
    ask: Forms
    ask_test: Forms
    reply: Forms
    reply_held_out: Forms
    assistant: Forms
    ellipsis: Forms = ()
    ellipsis_test: Forms = ()
    after: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    place: Literal["open", "middle", "close"] = "middle"
    weight: int = 1
    always: bool = False
    drifts: bool = False
    reserved: bool = True
    states_product: bool = False
    public: tuple[Value, ...] = ()
    private: tuple[Value, ...] = ()
    drift_to: tuple[Value, ...] = ()
    competing: Mapping[Value, tuple[str, ...]] = field(default_factory=dict)

    def values(self, pool: Pool) -> tuple[Value, ...]:
        """The values shops of `pool` may have."""
        return self.public if pool == "public" else self.private

    def questions(self, held_out: bool) -> Forms:
        """The question forms of training, or those held out for tests."""
        return self.ask_test if held_out else self.ask


@dataclass(frozen=True)
class Category:
    """A line of trade and the products sold in it."""

    name: str
    title: str
    public: tuple[str, ...]
    private: tuple[str, ...]

    def products(self, pool: Pool) -> tuple[str, ...]:
        """Product names for shops of `pool`."""
        return self.public if pool == "public" else self.private


@dataclass(frozen=True)
class Talk:
    """Questions and answers outside any shop: small talk, or a mention to be quoted."""

    ask: Forms
    reply: Forms


@dataclass(frozen=True)
class Wording:
    """More ways to say an intent: public text alone uses them, never a shop or its customers."""

    ask: Forms
    reply: Forms
    ellipsis: Forms = ()


@dataclass(frozen=True, eq=False)
class LanguagePack:
    """Everything the simulator says in one language.

    `between_words` is what the language writes between two words: a blank, or nothing.
    """

    language: str
    between_words: str
    intents: tuple[Intent, ...]
    categories: tuple[Category, ...]
    shop_names: tuple[Forms, Forms]
    voice: Mapping[str, Any]
    customer: Mapping[str, Any]
    identity: Mapping[str, Any]
    instructions: Mapping[str, Forms]
    small_talk: tuple[Talk, ...]
    mentions: tuple[Talk, ...]
    small_talk_share: float
    wordings: Mapping[str, Wording] = field(default_factory=dict)

    def widened(self) -> LanguagePack:
        """The pack of public text: its training forms include the public wordings."""
        customer = dict(self.customer)
        customer["switch"] = [*customer["switch"], *customer["switch_public"]]
        return replace(self, intents=tuple(self._widen(intent) for intent in self.intents), customer=customer)

    def _widen(self, intent: Intent) -> Intent:
        more = self.wordings.get(intent.name)
        if more is None:
            return intent
        return replace(
            intent,
            ask=intent.ask + more.ask,
            ellipsis=intent.ellipsis + more.ellipsis,
            reply=intent.reply + more.reply,
        )

    def with_scope(self, scope: Scope) -> tuple[Intent, ...]:
        """The intents of one scope, in the pack's order."""
        return tuple(intent for intent in self.intents if intent.scope == scope)

    def shop_name(self, number: int) -> str:
        """A name of its own for every number below `name_capacity`."""
        first, last = self.shop_names
        lap, at = divmod(number, len(first))
        return first[at] + self.between_words + last[(lap + at) % len(last)]

    @property
    def name_capacity(self) -> int:
        """How many shops can be told apart by name."""
        return len(self.shop_names[0]) * len(self.shop_names[1])
