"""Writes sessions: who asks what after what, in which words, and what the shop answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from ecc_fed.core.facts import states_all
from ecc_fed.core.records import Turn
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.truth import Fact
from ecc_fed.corpus.simulator.customer import Customer, draw_customer
from ecc_fed.corpus.simulator.described import DescribedSession
from ecc_fed.corpus.simulator.pack_records import Intent, LanguagePack, Pool
from ecc_fed.corpus.simulator.surface import choose, fill, misspell
from ecc_fed.corpus.simulator.topics import TopicDrawer
from ecc_fed.corpus.simulator.world import FactSlot, SimulatedShop, World

OPEN_SHARE, CLOSE_SHARE = 0.25, 0.25  # of sessions: a greeting first, thanks or leave last
SERVICE_SHARE = 0.14  # of the other exchanges: talk that states no fact
DOUBLE_SHARE = 0.05  # of the factual queries: two questions in one


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
        self._rng = Random(derive_seed(seed, "dialogue", shop.shop_id, int(held_out)))
        self._topics = TopicDrawer(world, shop, platform_share, unseen_share if held_out else 0.0, self._rng)
        self._service = world.pack.with_scope("none")

    def write(self, session_id: str, day: int, position: float, max_exchanges: int) -> DescribedSession:
        """One session of two to four exchanges, or fewer where `max_exchanges` is less."""
        rng = self._rng
        customer = draw_customer(self._pack, rng)
        exchanges: list[Exchange] = []
        asked: set[str] = set()
        previous: FactSlot | None = None
        for place in self._plan(min(max_exchanges, rng.choice((2, 3, 3, 4, 4)))):
            if place != "fact":
                exchanges.append(self._service_exchange(place, customer))
                previous = None
                continue
            slot, follows = self._topics.next(previous, asked)
            topics = [slot]
            if not follows and rng.random() < DOUBLE_SHARE:
                topics += self._topics.another(slot)
            exchange = self._fact_exchange(topics, previous if follows else None, day)
            if len(topics) > 1 and not (self._assistant or states_all(exchange.reply, exchange.facts)):
                # The wording of one answer states a value of the other fact's kind: ask one alone.
                topics = [slot]
                exchange = self._fact_exchange(topics, None, day)
            asked |= {topic.key for topic in topics}
            exchanges.append(exchange)
            previous = topics[-1]
        return DescribedSession(
            session_id=session_id,
            turns=tuple(turn for e in exchanges for turn in (Turn("customer", e.query), Turn("agent", e.reply))),
            shop_id=self._shop.shop_id,
            position=position,
            intents=tuple(intent for e in exchanges for intent in (e.intent, e.intent)),
            facts=tuple(facts for e in exchanges for facts in ((), e.facts)),
            form_ids=tuple(form_id for e in exchanges for form_id in (e.ask_id, e.reply_id)),
            customer=customer,
        )

    def _plan(self, count: int) -> list[str]:
        rng = self._rng
        opens = count > 1 and rng.random() < OPEN_SHARE
        closes = count - opens > 1 and rng.random() < CLOSE_SHARE
        middle = ["middle" if rng.random() < SERVICE_SHARE else "fact" for _ in range(count - opens - closes)]
        return ["open"] * opens + middle + ["close"] * closes

    def _fact_exchange(self, topics: Sequence[FactSlot], previous: FactSlot | None, day: int) -> Exchange:
        """One query about all `topics` (one, seldom two), answered in one breath."""
        asked = []
        answered = []
        for slot in topics:
            slots = topic_slots(slot, self._pool, self._rng)
            asked.append(self._ask(slot, previous, slots))
            answered.append(self._core(slot.intent, slots | {"value": slot.spoken_at(day)}))
        query = self._pack.customer["joiner"].join(query for _, query in asked)
        return Exchange(
            intent="+".join(slot.intent.name for slot in topics),
            query=query if previous is not None else decorate(self._pack, query, self._rng),
            ask_id="+".join(form_id for form_id, _ in asked),
            reply=self._voiced([core for _, core in answered]),
            reply_id="+".join(form_id for form_id, _ in answered),
            facts=() if self._assistant else tuple(slot.fact_at(day) for slot in topics),
        )

    def _ask(self, slot: FactSlot, previous: FactSlot | None, slots: dict[str, str]) -> tuple[str, str]:
        slots = dict(slots)  # a pronoun may stand for the product in the question, never in the answer
        form_id, form = self._question(slot, previous, slots)
        return form_id, word_query(self._pack, form, slots, self._typo_rate, self._rng)

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

    def _core(self, intent: Intent, slots: dict[str, str]) -> tuple[str, str]:
        rng = self._rng
        if self._assistant:
            form_id, form = _pick("assistant", intent.name, intent.assistant, rng)
        else:
            form_id, form = rng.choice(self._shop.replies[intent.name])
        return form_id, fill(choose(form, rng), slots | {"p": self._shop.voice.particle})

    def _voiced(self, cores: Sequence[str]) -> str:
        if self._assistant:
            return self._pack.between_words.join(cores)
        return self._shop.voice.speak(self._pack.customer["joiner"].join(cores), self._rng, self._pack)

    def _service_exchange(self, place: str, customer: Customer) -> Exchange:
        rng = self._rng
        able = [intent for intent in self._service if intent.place == place]
        intent = rng.choices(able, [intent.weight for intent in able])[0]
        slots = customer.slots() | {"shop": self._shop.name, "product": rng.choice(self._shop.products).name}
        form_id, form = _pick(
            "ask_test" if self._held_out else "ask", intent.name, intent.questions(self._held_out), rng
        )
        query = word_query(self._pack, form, slots, self._typo_rate, rng)
        reply_id, core = self._core(intent, slots)
        return Exchange(intent.name, query, form_id, self._voiced([core]), reply_id, ())


def topic_slots(slot: FactSlot, pool: Pool, rng: Random) -> dict[str, str]:
    """What a question about `slot` may name: its product, or a value that it never has."""
    past = [value for _, value in slot.timeline]
    others = [value[0] for value in slot.intent.values(pool) if value not in past]
    slots = {"other": rng.choice(others) if others else ""}
    if slot.product is not None:
        slots |= {"product": slot.product.name, "number": slot.product.number}
    return slots


def word_query(pack: LanguagePack, form: str, slots: dict[str, str], typo_rate: float, rng: Random) -> str:
    """A question as a customer types it: one choice of the form, with a slip now and then."""
    text = choose(form, rng)
    if rng.random() < typo_rate:
        text = misspell(text, pack.customer["typos"], rng)
    return fill(text, slots)


def decorate(pack: LanguagePack, query: str, rng: Random) -> str:
    """`query` with the few words and marks that customers put around a first question."""
    customer = pack.customer
    return "".join((rng.choice(customer["prefixes"]), query, rng.choice(customer["suffixes"])))


def _pick(kind: str, owner: str, forms: Sequence[str], rng: Random) -> tuple[str, str]:
    at = rng.randrange(len(forms))
    return f"{owner}/{kind}/{at}", forms[at]
