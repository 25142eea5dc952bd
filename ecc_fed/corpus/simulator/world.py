"""The simulated world: shops with voices, products and facts that drift, and a platform with its rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.truth import Fact, FactScope
from ecc_fed.corpus.simulator.pack_records import Intent, LanguagePack, Pool, Value
from ecc_fed.corpus.simulator.surface import fill

PRODUCTS_PER_SHOP = 3
SHOP_INTENTS = 9  # facts of the shop itself
PRODUCT_INTENTS = 2  # kinds of product facts beside the price, each asked of every product
PLATFORM_INTENTS = 5
REPLY_FORMS = 4  # phrasings a shop uses for one intent


@dataclass(frozen=True, slots=True)
class Voice:
    """How a shop speaks: 亲 in front or behind, its particle, its full stop, how chatty it is."""

    address: str
    address_last: bool
    address_share: float
    particle: str
    ending: str
    opener: str
    tail_share: float

    def speak(self, core: str, rng: Random, pack: LanguagePack) -> str:
        """`core` as this shop would say it."""
        voice = pack.voice
        addressed = rng.random() < self.address_share
        opener = self.opener if self.opener and rng.random() < 0.3 else ""
        if opener and core.startswith(opener):
            opener = ""
        text = core
        if addressed and self.address_last:
            text = fill(voice["back"], {"core": text, "address": self.address})
            if opener:
                text = fill(voice["opener_alone"], {"core": text, "opener": opener})
        elif addressed:
            form = voice["front_opener"] if opener else voice["front"]
            text = fill(form, {"core": text, "address": self.address, "opener": opener})
        elif opener:
            text = fill(voice["opener_alone"], {"core": text, "opener": opener})
        if rng.random() < self.tail_share:
            text = fill(voice["tail_join"], {"core": text, "tail": rng.choice(voice["tails"])})
        # Not `capitalize`, which lowers the letters behind.
        return (text[:1].upper() + text[1:] if voice.get("capitals") else text) + self.ending


@dataclass(frozen=True, slots=True)
class Product:
    """A product and the number customers paste instead of its name."""

    name: str
    number: str


@dataclass(frozen=True, slots=True, eq=False)
class FactSlot:
    """One fact of one shop (or of the platform) over time: ((first day, value), …).

    `reserved` facts are asked in tests only; `surface` is the owner's favourite surface form.
    """

    key: str
    intent: Intent
    timeline: tuple[tuple[int, Value], ...]
    product: Product | None = None
    reserved: bool = False
    surface: int = 0

    def value_at(self, day: int) -> Value:
        """The value that holds on `day`."""
        return [value for first, value in self.timeline if first <= day][-1]

    def spoken_at(self, day: int) -> str:
        """The form in which the owner states the value on `day`."""
        value = self.value_at(day)
        return value[self.surface % len(value)]

    def fact_at(self, day: int) -> Fact:
        """What a right reply must state on `day`."""
        value = self.value_at(day)
        scope: FactScope = "platform" if self.intent.scope == "platform" else "shop"
        return Fact(self.key, self.intent.name, scope, value, self.intent.competing[value], self._since(day))

    def _since(self, day: int) -> float | None:
        """The first day of the value that holds on `day`; None where the fact never changes."""
        return float(max(first for first, _ in self.timeline if first <= day)) if len(self.timeline) > 1 else None


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedShop:
    """A shop: what it sells, what is true of it, and how it talks."""

    shop_id: str
    name: str
    category: str
    voice: Voice
    products: tuple[Product, ...]
    slots: tuple[FactSlot, ...]
    replies: dict[str, tuple[tuple[str, str], ...]]  # intent -> (form id, form), the shop's own phrasings


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Shops of one pool on one platform."""

    pack: LanguagePack
    pool: Pool
    platform: tuple[FactSlot, ...]
    shops: tuple[SimulatedShop, ...]


@dataclass(frozen=True, slots=True)
class Drift:
    """Which facts change, once each.

    `share`: of a shop's facts; `platform_share`: of the platform's; `day`: on which all of them change, None for a day
    of each fact's own in the middle of the training days.
    """

    share: float = 0.0
    platform_share: float = 0.0
    day: int | None = None


class _Dealer:
    """Deals the values of an intent like a deck of cards, so that neighbouring shops differ."""

    def __init__(self, pool: Pool, seed: int) -> None:
        self._pool: Pool = pool
        self._seed = seed
        self._decks: dict[str, list[Value]] = {}
        self._rounds: dict[str, int] = {}

    def deal(self, intent: Intent) -> Value:
        deck = self._decks.get(intent.name)
        if not deck:
            turn = self._rounds[intent.name] = self._rounds.get(intent.name, 0) + 1
            deck = self._decks[intent.name] = list(intent.values(self._pool))
            Random(derive_seed(self._seed, "deal", intent.name, turn)).shuffle(deck)
        return deck.pop()


def build_world(pack: LanguagePack, pool: Pool, num_shops: int, training_days: int, drift: Drift, seed: int) -> World:
    """A world of `num_shops` shops; the same arguments give the same world.

    Where there are fewer than two `training_days`, nothing changes.
    """
    dealer = _Dealer(pool, seed)
    rng = Random(derive_seed(seed, "platform"))
    rules = rng.sample(pack.with_scope("platform"), min(PLATFORM_INTENTS, len(pack.with_scope("platform"))))
    platform = [
        FactSlot(f"platform/{intent.name}", intent, ((0, dealer.deal(intent)),), surface=rng.randrange(2))
        for intent in rules
    ]
    # The shops below must be the same whatever changes on the platform.
    changing = Random(derive_seed(seed, "platform_drift"))
    platform = _drift(platform, range(len(platform)), drift.platform_share, pool, training_days, drift.day, changing)
    categories = list(pack.categories)
    rng.shuffle(categories)
    shops = []
    for number in range(num_shops):
        category = categories[number % len(categories)]
        shops.append(_build_shop(pack, pool, dealer, number, category.name, training_days, drift, seed))
    return World(pack, pool, tuple(platform), tuple(shops))


def _build_shop(
    pack: LanguagePack,
    pool: Pool,
    dealer: _Dealer,
    number: int,
    category_name: str,
    training_days: int,
    drift: Drift,
    seed: int,
) -> SimulatedShop:
    rng = Random(derive_seed(seed, "shop", number))
    category = next(category for category in pack.categories if category.name == category_name)
    numbers = rng.sample(range(100_000, 1_000_000), PRODUCTS_PER_SHOP)
    products = tuple(
        Product(name, str(digits))
        for name, digits in zip(rng.sample(category.products(pool), PRODUCTS_PER_SHOP), numbers, strict=True)
    )
    slots = [
        FactSlot(intent.name, intent, ((0, dealer.deal(intent)),), surface=rng.choice((0, 0, 1)))
        for intent in _pick_intents(pack, "shop", category.name, SHOP_INTENTS, rng)
    ]
    for intent in _pick_intents(pack, "product", category.name, PRODUCT_INTENTS, rng):
        surface = rng.choice((0, 0, 1))
        for product in products:
            value = (product.name,) if intent.states_product else dealer.deal(intent)
            slots.append(FactSlot(f"{intent.name}/{product.name}", intent, ((0, value),), product, surface=surface))
    slots = _reserve(slots, rng)
    able = [i for i, slot in enumerate(slots) if slot.intent.drifts and not slot.reserved]
    slots = _drift(slots, able, drift.share, pool, training_days, drift.day, rng)
    return SimulatedShop(
        shop_id=f"shop_{number:04d}",
        name=pack.shop_name(number if pool == "private" else pack.name_capacity - 1 - number),
        category=category.title,
        voice=draw_voice(pack, rng, number),
        products=products,
        slots=tuple(slots),
        replies={intent.name: _own_replies(intent, pool, rng) for intent in pack.intents},
    )


def _pick_intents(pack: LanguagePack, scope: str, category: str, count: int, rng: Random) -> list[Intent]:
    """The intents every shop has, and `count` in all (for products: beside the price and the number)."""
    fitting = [
        intent
        for intent in pack.intents
        if intent.scope == scope and (not intent.categories or category in intent.categories)
    ]
    chosen = [intent for intent in fitting if intent.always or intent.states_product]
    others = [intent for intent in fitting if intent not in chosen]
    missing = count if scope == "product" else count - len(chosen)
    # Weighted draw without replacement (Efraimidis and Spirakis 2006): the largest u ** (1 / weight).
    others.sort(key=lambda intent: rng.random() ** (1 / intent.weight), reverse=True)
    return chosen + others[:missing]


def _reserve(slots: list[FactSlot], rng: Random) -> list[FactSlot]:
    """Marks about a sixth of the facts as asked in tests only, never the ones every shop talks about."""
    able = [i for i, slot in enumerate(slots) if slot.intent.reserved and not slot.intent.states_product]
    able = [i for i in able if not (slots[i].intent.always and slots[i].intent.scope == "shop")]
    reserved = set(rng.sample(able, max(1, round(len(slots) / 6))))
    return [replace(slot, reserved=i in reserved) for i, slot in enumerate(slots)]


def _drift(
    slots: list[FactSlot],
    able: Sequence[int],
    share: float,
    pool: Pool,
    training_days: int,
    day: int | None,
    rng: Random,
) -> list[FactSlot]:
    """`share` of the slots change, as far as so many are `able` to."""
    count = min(len(able), round(share * sum(not slot.reserved for slot in slots)))
    if training_days < 2 or count == 0:
        return slots
    changed = list(slots)
    for i in rng.sample(able, count):
        slot = slots[i]
        old = slot.timeline[0][1]
        options = slot.intent.drift_to if pool == "private" and slot.intent.drift_to else slot.intent.values(pool)
        new = rng.choice(
            [value for value in options if value != old] or [v for v in slot.intent.values(pool) if v != old]
        )
        first = max(1, round(0.35 * training_days))
        own = rng.randint(first, max(first, round(0.7 * training_days)))
        changed[i] = replace(slot, timeline=((0, old), (own if day is None else day, new)))
    return changed


def _own_replies(intent: Intent, pool: Pool, rng: Random) -> tuple[tuple[str, str], ...]:
    """The phrasings a shop uses; private shops also use held-out ones, which no encoder was trained on."""
    forms = [(f"{intent.name}/reply/{i}", form) for i, form in enumerate(intent.reply)]
    if pool == "private":
        held_out = [(f"{intent.name}/reply_held_out/{i}", form) for i, form in enumerate(intent.reply_held_out)]
        return (*rng.sample(forms, min(REPLY_FORMS - 1, len(forms))), rng.choice(held_out))
    return tuple(rng.sample(forms, min(REPLY_FORMS, len(forms))))


def draw_voice(pack: LanguagePack, rng: Random, number: int) -> Voice:
    """A voice; `number` deals the address words in turn."""
    addresses = pack.voice["addresses"]
    return Voice(
        # Neighbouring shops speak differently, so that a lost voice can be seen.
        address=addresses[number % len(addresses)],
        address_last=rng.random() < 0.35,
        address_share=rng.choice((0.6, 0.75, 0.9)),
        particle=rng.choice(pack.voice["particles"]),
        ending=rng.choice(pack.voice["endings"]),
        opener=rng.choice(pack.voice["openers"]),
        tail_share=rng.choice((0.0, 0.0, 0.1, 0.25)),
    )
