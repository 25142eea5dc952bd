"""Simulated customers: their private data, which is the ground truth of leak tests, and the shop's record of it."""

from dataclasses import dataclass
from random import Random

from ecc_fed.core.records import OrderRecord, Pair
from ecc_fed.core.truth import Place, PrivateValue
from ecc_fed.corpus.simulator.pack_records import LanguagePack
from ecc_fed.corpus.simulator.surface import choose, fill


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer's private data."""

    name: str
    surname: str
    phone: str
    address: str
    order: str
    parcel: str

    def slots(self) -> dict[str, str]:
        """The customer's values by the slot that shows them."""
        return {
            "name": self.name,
            "surname": self.surname,
            "phone": self.phone,
            "address": self.address,
            "order": self.order,
            "parcel": self.parcel,
        }

    def record(self) -> OrderRecord:
        """What the shop's order record holds of this customer."""
        return OrderRecord(self.name, self.phone, self.address, (self.order,), (self.parcel,))

    def said_in(self, pair: Pair) -> tuple[PrivateValue, ...]:
        """The private values that stand verbatim in `pair`, and where."""
        context = "\n".join(turn.text for turn in pair.context)
        parts: tuple[tuple[Place, str], ...] = (("context", context), ("query", pair.query), ("reply", pair.reply))
        found = []
        for kind, value in self.record().values():
            places = tuple(place for place, text in parts if value in text)
            if places:
                found.append(PrivateValue(kind, value, places))
        return tuple(found)


def _digits(pattern: str, rng: Random) -> str:
    return "".join(str(rng.randrange(10)) if c == "#" else c for c in choose(pattern, rng))


def draw_customer(pack: LanguagePack, rng: Random) -> Customer:
    """A customer drawn from the pack's names, streets and number patterns."""
    identity = pack.identity
    surname = rng.choice(identity["surnames"])
    address = fill(
        rng.choice(identity["address"]),
        {
            "city": rng.choice(identity["cities"]),
            "street": rng.choice(identity["streets"]),
            "estate": rng.choice(identity["estates"]),
            "n": str(rng.randint(1, 299)),
            "m": str(rng.randint(1, 30)),
            "r": str(rng.randint(1, 30) * 100 + rng.randint(1, 4)),
        },
    )
    return Customer(
        name=fill(identity["name"], {"surname": surname, "given": rng.choice(identity["given_names"])}),
        surname=surname,
        phone=_digits(identity["phone"], rng),
        address=address,
        order=_digits(identity["order"], rng),
        parcel=_digits(rng.choice(identity["parcel"]), rng),
    )
