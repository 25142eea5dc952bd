"""Contrasts to train and to test the judges' encoders on: same fact, wrong value, other content."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from ecc_fed.core.seeding import derive_seed
from ecc_fed.corpus.simulator.copying import alphabet
from ecc_fed.corpus.simulator.customer import draw_customer
from ecc_fed.corpus.simulator.dialogue import decorate, topic_slots, word_query
from ecc_fed.corpus.simulator.pack import load_pack
from ecc_fed.corpus.simulator.pack_records import SPOKEN, Intent, LanguagePack, Pool
from ecc_fed.corpus.simulator.surface import choose, fill
from ecc_fed.corpus.simulator.world import Drift, FactSlot, SimulatedShop, Voice, World, build_world, draw_voice

INVENTED_SHARE = 0.4  # contrasts about an invented value, so that encoders learn more than the public lexicon
CONTRASTS_PER_WORLD = 400
TYPO_RATE = 0.1
# A vowel becomes a vowel, a consonant a consonant, so that an invented name can be read.
_LETTERS = ("aeiou", "bcdfghjklmnpqrstvwxyz", "AEIOU", "BCDFGHJKLMNPQRSTVWXYZ")


@dataclass(frozen=True, slots=True)
class ReplyContrast:
    """Replies of one shop: `anchor` and `same_meaning` state one fact in different words.

    `wrong_value` is one of the two with another value; `other_content` answers something else.
    `intent` is what the first three answer, `other_intent` what the last does.
    """

    anchor: str
    same_meaning: str
    wrong_value: str
    other_content: str
    intent: str
    other_intent: str


@dataclass(frozen=True, slots=True)
class QueryContrast:
    """A query, the same question in another form, its reply, and replies of the shop to other questions.

    `intent` is what is asked and answered, `other_intents` what the other replies answer.
    """

    query: str
    paraphrase: str
    reply: str
    other_replies: tuple[str, ...]
    intent: str
    other_intents: tuple[str, ...]


def reply_contrasts(seed: int, held_out: bool, language: str = "zh") -> Iterator[ReplyContrast]:
    """Endless reply contrasts; `held_out` ones use private values and held-out reply forms.

    Raises:
        CorpusError: `language` has no pack.
    """
    return _Contrasts(_pack(language, held_out), seed, held_out).replies()


def query_contrasts(seed: int, held_out: bool, language: str = "zh") -> Iterator[QueryContrast]:
    """Endless query contrasts; `held_out` ones use private values, held-out questions and reply forms.

    Raises:
        CorpusError: `language` has no pack.
    """
    return _Contrasts(_pack(language, held_out), seed, held_out).queries()


def _pack(language: str, held_out: bool) -> LanguagePack:
    pack = load_pack(language)
    return pack if held_out else pack.widened()


class _Contrasts:
    def __init__(self, pack: LanguagePack, seed: int, held_out: bool) -> None:
        self._pack, self._seed, self._held_out = pack, seed, held_out
        self._pool: Pool = "private" if held_out else "public"
        self._characters = [c for c in alphabet(pack) if not c.isascii()]

    def _shops(self, purpose: str) -> Iterator[tuple[World, SimulatedShop, Random]]:
        rng = Random(derive_seed(self._seed, purpose, int(self._held_out)))
        number = 0
        while True:
            world_seed = derive_seed(self._seed, purpose, "world", int(self._held_out), number)
            world = build_world(self._pack, self._pool, len(self._pack.categories), 1, Drift(), world_seed)
            for _ in range(CONTRASTS_PER_WORLD):
                yield world, rng.choice(world.shops), rng
            number += 1

    def replies(self) -> Iterator[ReplyContrast]:
        for world, shop, rng in self._shops("reply_contrasts"):
            slot, other = rng.sample([*shop.slots, *world.platform], 2)
            slots = topic_slots(slot, world.pool, rng)
            value, wrong = self._two_values(slot, rng)
            first, second = self._forms(slot.intent, rng)
            voice, anchor_voice = self._second_voice(shop, rng), shop.voice
            copy, copy_voice = (first, anchor_voice) if rng.random() < 0.5 else (second, voice)
            yield ReplyContrast(
                anchor=self._say(first, slots | {"value": value}, anchor_voice, rng),
                same_meaning=self._say(second, slots | {"value": value}, voice, rng),
                wrong_value=self._say(copy, slots | {"value": wrong}, copy_voice, rng),
                other_content=self._reply_about(other, world, shop, rng),
                intent=slot.intent.name,
                other_intent=other.intent.name,
            )

    def queries(self) -> Iterator[QueryContrast]:
        service = self._pack.with_scope("none")
        for world, shop, rng in self._shops("query_contrasts"):
            facts = [*shop.slots, *world.platform]
            if rng.random() < 0.2:
                intent: Intent = rng.choice(service)
                slots = draw_customer(self._pack, rng).slots()
                slots |= {"shop": shop.name, "product": rng.choice(shop.products).name}
                reply = self._say(self._forms(intent, rng)[0], slots, shop.voice, rng)
            else:
                slot = rng.choice(facts)
                intent, slots = slot.intent, topic_slots(slot, world.pool, rng)
                reply = self._reply_about(slot, world, shop, rng)
            asked = rng.sample(intent.questions(self._held_out), 2)
            query, paraphrase = (word_query(self._pack, form, slots, TYPO_RATE, rng) for form in asked)
            if intent.scope != "none":
                query, paraphrase = decorate(self._pack, query, rng), decorate(self._pack, paraphrase, rng)
            others = rng.sample([slot for slot in facts if slot.intent is not intent], 4)
            wrong = tuple(self._reply_about(slot, world, shop, rng) for slot in others)
            yield QueryContrast(query, paraphrase, reply, wrong, intent.name, tuple(o.intent.name for o in others))

    def _forms(self, intent: Intent, rng: Random) -> list[str]:
        return rng.sample(intent.reply_held_out if self._held_out else intent.reply, 2)

    def _say(self, form: str, slots: dict[str, str], voice: Voice, rng: Random) -> str:
        return voice.speak(fill(choose(form, rng), slots | {"p": voice.particle}), rng, self._pack)

    def _reply_about(self, slot: FactSlot, world: World, shop: SimulatedShop, rng: Random) -> str:
        value = slot.spoken_at(0)
        if self._invents(slot.intent, rng):
            value = self._invent(slot.intent, value, rng)
        slots = topic_slots(slot, world.pool, rng) | {"value": value}
        return self._say(self._forms(slot.intent, rng)[0], slots, shop.voice, rng)

    def _second_voice(self, shop: SimulatedShop, rng: Random) -> Voice:
        draw = rng.random()
        if draw < 0.4:
            return shop.voice
        return draw_voice(self._pack, rng, rng.randrange(len(self._pack.voice["addresses"])))

    def _two_values(self, slot: FactSlot, rng: Random) -> tuple[str, str]:
        """The fact's value and another one, both invented for a share of the public contrasts."""
        intent = slot.intent
        value = rng.choice(slot.value_at(0)[:SPOKEN])
        if self._invents(intent, rng):
            value = self._invent(intent, value, rng)
            return value, self._invent(intent, value, rng)
        accepted = slot.value_at(0)
        values = intent.values(self._pool)
        if intent.states_product:
            values = tuple((name,) for category in self._pack.categories for name in category.products(self._pool))
        return value, rng.choice(rng.choice([other for other in values if other != accepted])[:SPOKEN])

    def _invents(self, intent: Intent, rng: Random) -> bool:
        return not self._held_out and not intent.states_product and rng.random() < INVENTED_SHARE

    def _invent(self, intent: Intent, value: str, rng: Random) -> str:
        """`value` with some characters changed into others of their kind, never a private value."""
        private = {form for other in intent.private for form in other}
        # Where words have letters, those of a unit ("days") stay: the digits make it another value.
        spelled = bool(self._pack.between_words) and not any(c.isdigit() for c in value)
        while True:
            at = {i for i, c in enumerate(value) if c.isdigit() or not c.isascii() or (spelled and c.isalpha())}
            changed = {i for i in at if rng.random() < 0.6} or {rng.choice(sorted(at))}
            text = "".join(self._another(c, rng) if i in changed else c for i, c in enumerate(value))
            if text != value and text not in private:
                return text

    def _another(self, character: str, rng: Random) -> str:
        if character.isdigit():
            return str(rng.randrange(1, 10))
        kind = next((letters for letters in _LETTERS if character in letters), None)
        return rng.choice(self._characters if kind is None else kind)
