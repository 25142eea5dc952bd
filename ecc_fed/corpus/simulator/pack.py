"""A language pack: the lexicon and the surface forms of the simulated shops, as data beside the code.

A pack is a folder `packs/<language>/` of TOML files. Intents and public wordings may be spread over its
files; all other tables stand in one of them. Everything the simulator relies on is checked here, so that a broken
pack is refused by name and not met in the middle of a run.
"""

import tomllib
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any

from ecc_fed.core.errors import CorpusError
from ecc_fed.corpus.simulator.pack_checks import check_pack
from ecc_fed.corpus.simulator.pack_records import Category, Forms, Intent, LanguagePack, Talk, Value, Wording

PACKS = Path(__file__).parent / "packs"

_NUMBERS = {"weight": int, "always": bool, "drifts": bool, "reserved": bool, "states_product": bool}
_WORDS = ("name", "scope", "place")


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
            if name in ("intent", "wording") and isinstance(table, list):
                tables.setdefault(name, []).extend(table)
            else:
                tables[name] = table
    try:
        pack = _build(tables)
    except CorpusError as error:
        raise CorpusError(f"language pack {folder}: {error}") from error
    except KeyError as error:
        raise CorpusError(f"language pack {folder}: table or key {error} is missing; add it") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise CorpusError(f"language pack {folder}: a table has the wrong shape ({error}); compare packs/zh") from error
    check_pack(pack, str(folder))
    check_pack(pack.widened(), f"{folder} with its public wordings")
    return pack


def _value(text: str, surface: Forms | None) -> Value:
    return tuple(form.replace("{n}", text) for form in surface) if surface else tuple(text.split("|"))


def _intent(source: dict[str, Any], products: tuple[str, ...]) -> Intent:
    table = _typed(source)
    surface = table.pop("surface", None)
    for key in ("public", "private", "drift_to"):
        table[key] = tuple(_value(text, surface) for text in table.get(key, ()))
    every = [*table["public"], *table["private"]]
    if table.get("states_product"):
        every = [(name,) for name in products]
    forms = {form for value in every for form in value}
    competing = {value: tuple(sorted(forms - set(value))) for value in every}
    return Intent(**table, competing=competing)


def _typed(source: dict[str, Any]) -> dict[str, Any]:
    """An intent's table with lists as tuples, once every key and its type are known to be right."""
    name = source.get("name", "(without a name)")
    known = {f.name: f for f in fields(Intent) if f.name != "competing"}
    for key, f in known.items():
        if key not in source and f.default is MISSING:
            raise CorpusError(f"intent {name!r} lacks {key!r}; add it")
    table: dict[str, Any] = {}
    for key, value in source.items():
        if key not in known and key != "surface":
            raise CorpusError(f"intent {name!r} has the unknown key {key!r}; known are: {', '.join(known)}, surface")
        if key in _WORDS or key in _NUMBERS:
            right = isinstance(value, _NUMBERS.get(key, str))
        else:
            right = isinstance(value, list) and all(isinstance(text, str) for text in value)
        if not right:
            raise CorpusError(f"intent {name!r}: {key}={value!r} has the wrong type; compare packs/zh")
        table[key] = tuple(value) if isinstance(value, list) else value
    return table


def _exchanges(tables: list[dict[str, list[str]]]) -> tuple[Talk, ...]:
    return tuple(Talk(tuple(table["ask"]), tuple(table["reply"])) for table in tables)


def _wordings(tables: list[dict[str, Any]], known: set[str]) -> dict[str, Wording]:
    wordings: dict[str, Wording] = {}
    for table in tables:
        forms = {key: tuple(value) for key, value in table.items() if key != "intent"}
        if table["intent"] not in known:
            raise CorpusError(f"wording of the unknown intent {table['intent']!r}; name an intent of this pack")
        wordings[table["intent"]] = Wording(**forms)
    return wordings


def _build(tables: dict[str, Any]) -> LanguagePack:
    categories = tuple(
        Category(table["name"], table["title"], tuple(table["public"]), tuple(table["private"]))
        for table in tables["category"]
    )
    products = tuple(name for category in categories for name in (*category.public, *category.private))
    names = tables["shop_names"]
    return LanguagePack(
        language=tables["language"],
        between_words=tables["between_words"],
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
        wordings=_wordings(tables.get("wording", []), {table["name"] for table in tables["intent"]}),
    )
