"""A language pack: the lexicon and the surface forms of the simulated shops, as data beside the code.

A pack is a folder `packs/<language>/` of TOML files. Intents may be spread over its files; all other
tables stand in one of them. `load_pack` checks everything the simulator relies on, so that a broken
pack is refused by name and not met in the middle of a run.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ecc_fed.core.errors import CorpusError
from ecc_fed.corpus.simulator.pack_checks import check_pack

Pool = Literal["public", "private"]
Scope = Literal["shop", "product", "platform", "none"]
# Surface forms of one value; the first is the one most shops use.
Value = tuple[str, ...]
Forms = tuple[str, ...]

PACKS = Path(__file__).parent / "packs"


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


@dataclass(frozen=True, eq=False)
class LanguagePack:
    """Everything the simulator says in one language."""

    language: str
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

    def with_scope(self, scope: Scope) -> tuple[Intent, ...]:
        """The intents of one scope, in the pack's order."""
        return tuple(intent for intent in self.intents if intent.scope == scope)

    def shop_name(self, number: int) -> str:
        """A name of its own for every number below `name_capacity`."""
        first, last = self.shop_names
        lap, at = divmod(number, len(first))
        return first[at] + last[(lap + at) % len(last)]

    @property
    def name_capacity(self) -> int:
        """How many shops can be told apart by name."""
        return len(self.shop_names[0]) * len(self.shop_names[1])


def known_languages() -> list[str]:
    """The languages that have a pack."""
    return sorted(folder.name for folder in PACKS.iterdir() if folder.is_dir())


@cache
def load_pack(language: str) -> LanguagePack:
    """The pack of `language`.

    Raises:
        CorpusError: no such pack, or the pack is broken.
    """
    if language not in known_languages():
        raise CorpusError(f"language={language!r} has no pack; choose one of: {', '.join(known_languages())}")
    return read_pack(PACKS / language)


def read_pack(folder: Path) -> LanguagePack:
    """The pack in `folder`.

    Raises:
        CorpusError: a file is not TOML, a table or key is missing or of the wrong type, or forms
            and values break a rule of `pack_checks`.
    """
    tables: dict[str, Any] = {}
    for file in sorted(folder.glob("*.toml")):
        try:
            content = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CorpusError(f"language pack file {file}: not valid TOML ({error}); correct the file") from error
        for name, table in content.items():
            if name == "intent" and isinstance(table, list):
                tables.setdefault("intent", []).extend(table)
            else:
                tables[name] = table
    try:
        pack = _build(tables)
    except KeyError as error:
        raise CorpusError(f"language pack {folder}: table or key {error} is missing; add it") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise CorpusError(f"language pack {folder}: a table has the wrong shape ({error}); compare packs/zh") from error
    check_pack(pack, str(folder))
    return pack


def _value(text: str, surface: Forms | None) -> Value:
    return tuple(form.format(n=text) for form in surface) if surface else tuple(text.split("|"))


def _intent(source: dict[str, Any], products: tuple[str, ...]) -> Intent:
    table: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in source.items()}
    surface = table.pop("surface", None)
    for key in ("public", "private", "drift_to"):
        table[key] = tuple(_value(text, surface) for text in table.get(key, ()))
    every = [*table["public"], *table["private"]]
    if table.get("states_product"):
        every = [(name,) for name in products]
    forms = {form for value in every for form in value}
    competing = {value: tuple(sorted(forms - set(value))) for value in every}
    return Intent(**table, competing=competing)


def _exchanges(tables: list[dict[str, list[str]]]) -> tuple[Talk, ...]:
    return tuple(Talk(tuple(table["ask"]), tuple(table["reply"])) for table in tables)


def _build(tables: dict[str, Any]) -> LanguagePack:
    categories = tuple(
        Category(table["name"], table["title"], tuple(table["public"]), tuple(table["private"]))
        for table in tables["category"]
    )
    products = tuple(name for category in categories for name in (*category.public, *category.private))
    names = tables["shop_names"]
    return LanguagePack(
        language=tables["language"],
        intents=tuple(_intent(table, products) for table in tables["intent"]),
        categories=categories,
        shop_names=(tuple(names["first"]), tuple(names["last"])),
        voice=tables["voice"],
        customer=tables["customer"],
        identity=tables["identity"],
        instructions={key: tuple(forms) for key, forms in tables["instructions"].items()},
        small_talk=_exchanges(tables["small_talk"]),
        mentions=_exchanges(tables["mention"]),
        small_talk_share=float(tables["assistant"]["small_talk_share"]),
    )
