"""Writes sessions: who asks what after what, in which words, and what the shop answers."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from random import Random

from ecc_fed.core.records import Fact, Session, Turn
from ecc_fed.core.seeding import derive_seed
from ecc_fed.corpus.simulator.customer import Customer, draw_customer
from ecc_fed.corpus.simulator.pack import Intent, LanguagePack, Pool
from ecc_fed.corpus.simulator.surface import choose, fill, misspell
from ecc_fed.corpus.simulator.world import FactSlot, SimulatedShop, World

OPEN_SHARE, CLOSE_SHARE, SERVICE_SHARE, FOLLOW_UP_SHARE = 0.3, 0.3, 0.14, 0.45


class _Deck:
    """Draws facts in proportion to their weights, evenly over time."""

    def __init__(self, slots: list[FactSlot], rng: Random) -> None:
        self._slots = slots
        self._rng = rng
        self.cards: list[FactSlot] = []

    def draw(self, asked: set[str]) -> FactSlot:
        """The next fact that this session has not asked yet, if there is one."""
        if not self.cards:
            self.cards = [slot for slot in self._slots for _ in range(slot.intent.weight)]
            self._rng.shuffle(self.cards)
        at = next((i for i in reversed(range(len(self.cards))) if self.cards[i].key not in asked), -1)
        return self.cards.pop(at)

    def __bool__(self) -> bool:
        return bool(self._slots)


class _Share:
    """Says yes for the declared share of calls, as evenly as can be (systematic sampling)."""

    def __init__(self, share: float, rng: Random) -> None:
        self._share = share
        self._level = rng.random()

    def __call__(self) -> bool:
        before = self._level
        self._level += self._share
        return floor(self._level) > floor(before)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and its answer, with what is true of them."""

    intent: str
    query: str
    ask_id: str
    reply: str
    reply_id: str
    facts: tuple[Fact, ...]


class DialogueWriter:
    """Writes one shop's sessions, in order.

    `held_out` sessions use held-out question forms only and may ask reserved facts
    (`unseen_share` of the questions about the shop); the others use training forms and never ask
    those. With `assistant`, a general assistant answers in the shop's place and states no fact.
    """

    def __init__(
        self,
        world: World,
        shop: SimulatedShop,
        seed: int,
        *,
        held_out: bool = False,
        assistant: bool = False,
        platform_share: float = 0.0,
        unseen_share: float = 0.0,
        typo_rate: float = 0.0,
    ) -> None:
        self._pack, self._pool, self._shop = world.pack, world.pool, shop
        self._held_out, self._assistant, self._typo_rate = held_out, assistant, typo_rate
        self._rng = rng = Random(derive_seed(seed, "dialogue", shop.shop_id, int(held_out)))
        self._seen = _Deck([slot for slot in shop.slots if not slot.reserved], rng)
        self._reserved = _Deck([slot for slot in shop.slots if slot.reserved], rng)
        self._rules = _Deck(list(world.platform), rng)
        self._wants_rule = _Share(platform_share, rng)
        self._wants_unseen = _Share(unseen_share if held_out else 0.0, rng)
        self._service = world.pack.with_scope("none")

    def write(self, session_id: str, day: int, position: float, max_exchanges: int) -> Session:
        """One session of two to four exchanges, or fewer where `max_exchanges` is less."""
        rng = self._rng
        customer = draw_customer(self._pack, rng)
        exchanges: list[Exchange] = []
        asked: set[str] = set()
        previous: FactSlot | None = None
        for place in self._plan(min(max_exchanges, rng.choice((2, 2, 3, 3, 4)))):
            if place == "fact":
                slot, follows = self._next_slot(previous, asked)
                asked.add(slot.key)
                exchanges.append(self._fact_exchange(slot, previous if follows else None, day, customer))
                previous = slot
            else:
                exchanges.append(self._service_exchange(place, customer))
        text = "\n".join(f"{e.query}\n{e.reply}" for e in exchanges)
        return Session(
            session_id=session_id,
            turns=tuple(turn for e in exchanges for turn in (Turn("customer", e.query), Turn("agent", e.reply))),
            shop_id=self._shop.shop_id,
            position=position,
            intents=tuple(intent for e in exchanges for intent in (e.intent, e.intent)),
            facts=tuple(facts for e in exchanges for facts in ((), e.facts)),
            form_ids=tuple(form_id for e in exchanges for form_id in (e.ask_id, e.reply_id)),
            private_values=customer.seen_in(text),
        )

    def _plan(self, count: int) -> list[str]:
        rng = self._rng
        opens = count > 1 and rng.random() < OPEN_SHARE
        closes = count - opens > 1 and rng.random() < CLOSE_SHARE
        middle = ["middle" if rng.random() < SERVICE_SHARE else "fact" for _ in range(count - opens - closes)]
        return ["open"] * opens + middle + ["close"] * closes

    def _next_slot(self, previous: FactSlot | None, asked: set[str]) -> tuple[FactSlot, bool]:
        """The next fact to ask, and whether the question leans on the one before."""
        if self._rules and self._wants_rule():
            deck = self._rules
        elif self._reserved and self._wants_unseen():
            deck = self._reserved
        else:
            deck = self._seen
        if previous is not None and self._rng.random() < FOLLOW_UP_SHARE:
            linked = [i for i, slot in enumerate(deck.cards) if slot.key not in asked and _follows(slot, previous)]
            if linked:
                return deck.cards.pop(self._rng.choice(linked)), True
        return deck.draw(asked), False

    def _fact_exchange(self, slot: FactSlot, previous: FactSlot | None, day: int, customer: Customer) -> Exchange:
        rng, intent = self._rng, slot.intent
        slots = topic_slots(slot, self._pool, rng)
        query_slots = dict(slots)
        form_id, form = self._question(slot, previous, query_slots)
        query = word_query(self._pack, form, query_slots, self._typo_rate, rng, plain=previous is not None)
        reply_slots = slots | {"value": slot.spoken_at(day)}
        reply_id, reply = self._answer(intent, reply_slots)
        return Exchange(intent.name, query, form_id, reply, reply_id, () if self._assistant else (slot.fact_at(day),))

    def _question(self, slot: FactSlot, previous: FactSlot | None, slots: dict[str, str]) -> tuple[str, str]:
        rng, intent, customer = self._rng, slot.intent, self._pack.customer
        suffix = "_test" if self._held_out else ""
        if previous is not None and slot.product is not None and previous.product is not slot.product:
            return _pick("switch" + suffix, "customer", customer["switch" + suffix], rng)
        if previous is not None and (slot.product is None or rng.random() < 0.5):
            forms = intent.ellipsis_test if self._held_out else intent.ellipsis
            return _pick("ellipsis" + suffix, intent.name, forms, rng)
        if previous is not None:
            slots["product"] = rng.choice(customer["pronouns"])
        return _pick("ask" + suffix, intent.name, intent.questions(self._held_out), rng)

    def _answer(self, intent: Intent, slots: dict[str, str]) -> tuple[str, str]:
        rng, voice = self._rng, self._shop.voice
        if self._assistant:
            form_id, form = _pick("assistant", intent.name, intent.assistant, rng)
            return form_id, fill(choose(form, rng), slots)
        form_id, form = rng.choice(self._shop.replies[intent.name])
        core = fill(choose(form, rng), slots | {"p": voice.particle})
        return form_id, voice.speak(core, rng, self._pack)

    def _service_exchange(self, place: str, customer: Customer) -> Exchange:
        rng = self._rng
        able = [intent for intent in self._service if intent.place == place]
        intent = rng.choices(able, [intent.weight for intent in able])[0]
        slots = customer.slots() | {"shop": self._shop.name, "product": rng.choice(self._shop.products).name}
        suffix = "_test" if self._held_out else ""
        form_id, form = _pick("ask" + suffix, intent.name, intent.questions(self._held_out), rng)
        query = word_query(self._pack, form, slots, self._typo_rate, rng, plain=True)
        reply_id, reply = self._answer(intent, slots)
        return Exchange(intent.name, query, form_id, reply, reply_id, ())


def topic_slots(slot: FactSlot, pool: Pool, rng: Random) -> dict[str, str]:
    """What a question about `slot` may name: its product, or a value that it never has."""
    past = [value for _, value in slot.timeline]
    others = [value[0] for value in slot.intent.values(pool) if value not in past]
    slots = {"other": rng.choice(others) if others else ""}
    if slot.product is not None:
        slots |= {"product": slot.product.name, "number": slot.product.number}
    return slots


def word_query(
    pack: LanguagePack, form: str, slots: dict[str, str], typo_rate: float, rng: Random, plain: bool = False
) -> str:
    """A question as a customer types it: one choice of the form, slips, and (unless `plain`) a few words around it."""
    customer = pack.customer
    text = choose(form, rng)
    if rng.random() < typo_rate:
        text = misspell(text, customer["typos"], rng)
    text = fill(text, slots)
    return text if plain else rng.choice(customer["prefixes"]) + text + rng.choice(customer["suffixes"])


def _pick(kind: str, owner: str, forms: tuple[str, ...] | list[str], rng: Random) -> tuple[str, str]:
    at = rng.randrange(len(forms))
    return f"{owner}/{kind}/{at}", forms[at]


def _follows(slot: FactSlot, previous: FactSlot) -> bool:
    """Whether `slot` can be asked in few words right after `previous`."""
    if slot.intent.states_product:
        return False
    if slot.product is not None and previous.product is not None:
        same_product = slot.product is previous.product
        return same_product != (slot.intent is previous.intent)
    return slot.product is None and previous.intent.name in slot.intent.after and bool(slot.intent.ellipsis)
