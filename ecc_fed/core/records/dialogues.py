"""What is said between customers and shops, and what a shop's device knows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Role = Literal["customer", "agent"]
Split = Literal["history", "stream", "test"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One dialogue turn."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """What a shop's order record holds of one customer. A device may look there; a field may be empty.

    It says nothing of what the customer said: values that never came up stand here too, and what a
    customer without an order says stands nowhere.
    """

    name: str = ""
    phone: str = ""
    address: str = ""
    order_numbers: tuple[str, ...] = ()
    parcel_numbers: tuple[str, ...] = ()

    def values(self) -> tuple[tuple[str, str], ...]:
        """(kind, value) of everything in it; kinds are name, phone, address, order, parcel."""
        single = (("name", self.name), ("phone", self.phone), ("address", self.address))
        numbers = [("order", number) for number in self.order_numbers]
        numbers += [("parcel", number) for number in self.parcel_numbers]
        return tuple((kind, value) for kind, value in (*single, *numbers) if value)


@dataclass(frozen=True, slots=True)
class Session:
    """One dialogue between one customer and one shop.

    By `position` a shop's sessions are split, test sessions last: a day number, or the number of a line, which says
    nothing of time unless the file's lines are in its order.
    """

    session_id: str
    turns: tuple[Turn, ...]
    shop_id: str | None = None
    position: float = 0.0


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which shop has which session: `shop_of[i]` owns session i, None leaves it out.

    `descriptions` are by shop; `notes` are for the corpus report.
    """

    shop_of: Sequence[str | None]
    descriptions: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """A query with its context and the human agent's reply. What a shop serves, trains and tests on.

    It holds what the shop's device knows and no more: what is true of it stands in `core.truth`.
    `customer` is the order record of whoever asks; None where the shop has none.
    """

    pair_id: str
    session_id: str
    shop_id: str
    context: tuple[Turn, ...]
    query: str
    reply: str
    position: float = 0.0
    customer: OrderRecord | None = None

    @property
    def prompt(self) -> tuple[Turn, ...]:
        """Context and query: what the end model reads."""
        return (*self.context, Turn("customer", self.query))


@dataclass(frozen=True, slots=True)
class Shop:
    """A shop's private dialogues, in order: history (before the run), stream (served), test."""

    shop_id: str
    history: tuple[Pair, ...]
    stream: tuple[Pair, ...]
    test: tuple[Pair, ...]
    description: str = ""
