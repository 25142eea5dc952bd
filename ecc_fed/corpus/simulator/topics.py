"""What a customer asks next: facts drawn evenly over time, and follow-ups that lean on the question before."""

from __future__ import annotations

from math import floor
from random import Random

from ecc_fed.corpus.simulator.world import FactSlot, SimulatedShop, World

FOLLOW_UP_SHARE = 0.75  # of the questions after a factual one, where one leans on it
SWITCH_SHARE = 0.5  # of the follow-ups, the least share that asks the same about another product, where there is one


class _Deck:
    """Draws facts in proportion to their weights, evenly over time."""

    def __init__(self, slots: list[FactSlot], rng: Random) -> None:
        self.slots = slots
        self._rng = rng
        self._cards: list[FactSlot] = []

    def draw(self, asked: set[str]) -> FactSlot:
        """The next fact that this session has not asked yet, if there is one."""
        if not self._cards:
            self._cards = [slot for slot in self.slots for _ in range(slot.intent.weight)]
            self._rng.shuffle(self._cards)
        at = next((i for i in reversed(range(len(self._cards))) if self._cards[i].key not in asked), -1)
        return self._cards.pop(at)

    def take(self, slot: FactSlot) -> None:
        """Takes one card of `slot` out, if any is left, so that asking it now does not make it more frequent."""
        if slot in self._cards:
            self._cards.remove(slot)

    def __bool__(self) -> bool:
        return bool(self.slots)


class _Share:
    """Says yes for the declared share of calls, as evenly as can be (systematic sampling)."""

    def __init__(self, share: float, rng: Random) -> None:
        self._share = share
        self._level = rng.random()

    def __call__(self) -> bool:
        before = self._level
        self._level += self._share
        return floor(self._level) > floor(before)


class TopicDrawer:
    """Draws the facts that one shop's customers ask about, in order.

    `platform_share` of them are platform rules; `unseen_share` of the others are the shop's
    reserved facts; the rest are drawn in proportion to the intents' weights.
    """

    def __init__(
        self, world: World, shop: SimulatedShop, platform_share: float, unseen_share: float, rng: Random
    ) -> None:
        self._rng = rng
        self._seen = _Deck([slot for slot in shop.slots if not slot.reserved], rng)
        self._reserved = _Deck([slot for slot in shop.slots if slot.reserved], rng)
        self._rules = _Deck(list(world.platform), rng)
        self._wants_rule = _Share(platform_share, rng)
        self._wants_unseen = _Share(unseen_share, rng)
        self._deck = self._seen

    def next(self, previous: FactSlot | None, asked: set[str]) -> tuple[FactSlot, bool]:
        """The next fact to ask, and whether the question leans on `previous`."""
        if self._rules and self._wants_rule():
            self._deck = self._rules
        elif self._reserved and self._wants_unseen():
            self._deck = self._reserved
        else:
            self._deck = self._seen
        if previous is not None and self._rng.random() < FOLLOW_UP_SHARE:
            linked = [slot for slot in self._deck.slots if slot.key not in asked and _follows(slot, previous)]
            if linked:
                switches = [slot for slot in linked if slot.intent is previous.intent]
                slot = self._rng.choice(switches if switches and self._rng.random() < SWITCH_SHARE else linked)
                self._deck.take(slot)
                return slot, True
        return self._deck.draw(asked), False

    def another(self, first: FactSlot) -> list[FactSlot]:
        """One more fact of the deck `first` came from; none where it is of the same kind."""
        slot = self._deck.draw({first.key})
        return [] if slot.intent is first.intent else [slot]


def _follows(slot: FactSlot, previous: FactSlot) -> bool:
    """Whether `slot` can be asked in few words right after `previous`."""
    if slot.intent.states_product:
        return False
    if slot.product is not None and previous.product is not None:
        same_product = slot.product is previous.product
        return same_product != (slot.intent is previous.intent)
    return slot.product is None and previous.intent.name in slot.intent.after and bool(slot.intent.ellipsis)
