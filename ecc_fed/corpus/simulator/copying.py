"""Copy tasks: repeat a text, quote what the customer named, find a value in notes."""

from collections.abc import Iterator
from random import Random

from ecc_fed.core.records import Turn
from ecc_fed.core.seeding import derive_seed
from ecc_fed.corpus.simulator.customer import draw_customer
from ecc_fed.corpus.simulator.described import DescribedSession
from ecc_fed.corpus.simulator.pack_records import SPOKEN, Intent, LanguagePack
from ecc_fed.corpus.simulator.surface import choose, expand, fill, split_literals
from ecc_fed.corpus.simulator.world import draw_voice

_MARKS = "，。、！？ ,.!?-"


def lexicon(pack: LanguagePack) -> list[str]:
    """Every value, product, address word and particle of the pack, public and private."""
    words = {form for intent in pack.intents for value in intent.public + intent.private for form in value}
    words |= {name for category in pack.categories for name in (*category.public, *category.private)}
    words |= {*pack.voice["addresses"], *pack.voice["particles"], *pack.voice["openers"], *pack.voice["tails"]}
    words |= {*pack.shop_names[0], *pack.shop_names[1]}
    return sorted({word.strip() for word in words} - {""})


def reply_fragments(pack: LanguagePack) -> list[str]:
    """The wording of every reply form between its slots, held-out forms too."""
    forms = [form for i in pack.intents for form in (*i.reply, *i.reply_held_out, *i.assistant)]
    pieces = {piece.strip(_MARKS) for form in forms for text in expand(form) for piece in split_literals(text)}
    return sorted(pieces - {""})


def alphabet(pack: LanguagePack) -> list[str]:
    """Every character of the lexicon, the questions, the replies and the customers' data."""
    asked = [form for i in pack.intents for form in (*i.ask, *i.ask_test, *i.ellipsis, *i.ellipsis_test)]
    questions = [piece for form in asked for text in expand(form) for piece in split_literals(text)]
    identity = [text for values in pack.identity.values() if isinstance(values, list) for text in values]
    slips = [word for words in pack.customer["typos"].values() for word in words]
    habits = [word for key in ("prefixes", "suffixes", "pronouns") for word in pack.customer[key]]
    text = "".join([*lexicon(pack), *reply_fragments(pack), *questions, *identity, *slips, *habits])
    return sorted({c for c in text if c not in "{}[]|#_" and not c.isspace()})


class CopyTasks:
    """An endless, seeded stream of copy tasks."""

    def __init__(self, pack: LanguagePack, seed: int) -> None:
        self._pack, self._seed = pack, seed
        self._words = lexicon(pack)
        self._fragments = reply_fragments(pack)
        self._alphabet = alphabet(pack)
        self._characters: list[str] = []
        self._products = [n for c in pack.categories for n in (*c.public, *c.private)]
        self._facts = [i for i in pack.intents if i.scope != "none" and not i.states_product]

    def __iter__(self) -> Iterator[DescribedSession]:
        rng = Random(derive_seed(self._seed, "copy_tasks"))
        self._characters = []
        tasks = (self._copy, self._choose, self._mention, self._recall, self._lookup)
        number = 0
        while True:
            task = rng.choices(tasks, (45, 8, 22, 8, 17))[0]
            turns = task(rng)
            intents = (task.__name__.strip("_"),) * len(turns)
            yield DescribedSession(f"copy/{self._seed}/{number:07d}", turns, intents=intents)
            number += 1

    def _text(self, rng: Random) -> str:
        kind, apart = rng.randrange(10), self._pack.between_words
        if kind < 3:
            words = [rng.choice(self._words) for _ in range(rng.randint(1, 4))]
            return rng.choice((apart, self._pack.customer["joiner"], " ")).join(words)
        if kind < 5:
            words = [rng.choice(self._words if rng.random() < 0.5 else self._fragments) for _ in range(3)]
            return apart.join(words)
        if kind < 6:
            return "".join(self._next_character(rng) for _ in range(rng.randint(2, 8)))
        if kind < 8:
            return self._phrase(rng)
        return self._number(rng)

    def _next_character(self, rng: Random) -> str:
        """Every character of the alphabet in turn, in an order shuffled anew each time."""
        if not self._characters:
            self._characters = rng.sample(self._alphabet, len(self._alphabet))
        return self._characters.pop()

    def _number(self, rng: Random) -> str:
        customer = draw_customer(self._pack, rng)
        kind = rng.randrange(6)
        if kind == 0:
            return f"{rng.randrange(1000)}.{rng.randrange(10)}"
        if kind == 1:
            return rng.choice((customer.phone, customer.order, customer.parcel))
        if kind == 2:
            return rng.choice((customer.name, customer.address))
        return "".join(str(rng.randrange(10)) for _ in range(rng.randint(1, 12)))

    def _phrase(self, rng: Random) -> str:
        """A reply form filled at random, in a random voice: no shop's fact."""
        intent = rng.choice(self._facts)
        voice = draw_voice(self._pack, rng, rng.randrange(len(self._pack.voice["addresses"])))
        text, _ = self._note(intent, rng, voice.particle)
        return voice.speak(text, rng, self._pack)

    def _note(self, intent: Intent, rng: Random, particle: str = "") -> tuple[str, dict[str, str]]:
        values = intent.public + intent.private
        value, other = (rng.choice(v[:SPOKEN]) for v in rng.sample(values, 2))
        slots = {"value": value, "other": other, "p": particle, "product": rng.choice(self._products)}
        slots["number"] = str(rng.randrange(100_000, 1_000_000))
        return fill(choose(rng.choice(intent.reply), rng), slots), slots

    def _copy(self, rng: Random) -> tuple[Turn, ...]:
        text = self._text(rng)
        form = rng.choice(self._pack.instructions["copy"])
        return Turn("customer", fill(form, {"text": text})), Turn("agent", text)

    def _choose(self, rng: Random) -> tuple[Turn, ...]:
        a, b = rng.sample(self._words, 2)
        which = rng.choice(("first", "second"))
        form = rng.choice(self._pack.instructions[which])
        return Turn("customer", fill(form, {"a": a, "b": b})), Turn("agent", a if which == "first" else b)

    def _mention(self, rng: Random) -> tuple[Turn, ...]:
        exchange = rng.choice(self._pack.mentions)
        product, product2 = rng.sample(self._products, 2)
        slots = {
            "product": product,
            "product2": product2,
            "value": rng.choice(self._words),
            "address_word": rng.choice(self._pack.voice["addresses"]),
            "digits": self._number(rng),
            "shop": self._pack.shop_name(rng.randrange(self._pack.name_capacity)),
        }
        ask, reply = (choose(rng.choice(forms), rng) for forms in (exchange.ask, exchange.reply))
        return Turn("customer", fill(ask, slots)), Turn("agent", fill(reply, slots))

    def _recall(self, rng: Random) -> tuple[Turn, ...]:
        say = self._pack.instructions
        slots = {"a": rng.choice(self._products if rng.random() < 0.6 else self._words)}
        forms = [say["remember"], say["remember_reply"], say["recall"], say["recall_reply"]]
        texts = [fill(choose(rng.choice(options), rng), slots) for options in forms]
        return tuple(Turn("agent" if i % 2 else "customer", text) for i, text in enumerate(texts))

    def _lookup(self, rng: Random) -> tuple[Turn, ...]:
        intents = rng.sample(self._facts, rng.randint(1, 3))
        notes = [self._note(intent, rng) for intent in intents]
        at = rng.randrange(len(notes))
        question = fill(choose(rng.choice(intents[at].ask), rng), notes[at][1])
        text = fill(
            rng.choice(self._pack.instructions["lookup"]),
            {"notes": self._pack.customer["joiner"].join(note for note, _ in notes), "question": question},
        )
        return Turn("customer", text), Turn("agent", notes[at][1]["value"])
