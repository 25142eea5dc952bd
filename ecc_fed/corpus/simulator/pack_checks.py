"""What a language pack must satisfy before any dialogue is made from it."""

from collections.abc import Iterable, Iterator

from ecc_fed.core.errors import CorpusError
from ecc_fed.core.facts import find_form
from ecc_fed.corpus.simulator.pack_records import Intent, LanguagePack
from ecc_fed.corpus.simulator.surface import expand, slots_of, split_literals

MIN_CATEGORIES = 8
MIN_INTENTS = 30
MIN_ASK, MIN_ASK_TEST = 6, 3
MIN_REPLY, MIN_REPLY_HELD_OUT, MIN_ASSISTANT = 4, 2, 2
MIN_VALUES = 4

_PRIVATE = {"name", "surname", "phone", "address", "order", "parcel"}
_ASK_SLOTS = {"shop": {"other"}, "platform": {"other"}, "product": {"product", "number", "other"}, "none": _PRIVATE}
_REPLY_SLOTS = {
    "shop": {"value", "p"},
    "platform": {"value", "p"},
    "product": {"value", "p", "product", "number"},
    "none": _PRIVATE | {"p", "shop", "product"},
}
_TABLE_KEYS = {
    "voice": [
        *("addresses", "particles", "endings", "openers", "tails"),
        *("front", "front_opener", "opener_alone", "back", "tail_join"),
    ],
    "customer": ["prefixes", "suffixes", "pronouns", "switch", "switch_public", "switch_test", "typos", "joiner"],
    "identity": [
        *("surnames", "given_names", "name", "cities", "streets", "estates", "address", "phone", "order", "parcel"),
        *("canary_ask", "canary_ask_cloud", "canary_reply", "canary_told", "canary_thanks"),
    ],
    "instructions": ["copy", "first", "second", "lookup", "remember", "remember_reply", "recall", "recall_reply"],
}
_MENTION_SLOTS = {"product", "product2", "value", "address_word", "digits", "shop"}
# Slots of the forms outside intents, by table and key; forms of other keys have none.
_FORM_SLOTS = {
    "voice": {
        "front": {"address", "core"},
        "front_opener": {"opener", "address", "core"},
        "opener_alone": {"opener", "core"},
        "back": {"core", "address"},
        "tail_join": {"core", "tail"},
    },
    "customer": {key: {"product", "number"} for key in ("switch", "switch_public", "switch_test")},
    "identity": {
        "name": {"surname", "given"},
        "address": {"city", "street", "estate", "n", "m", "r"},
        "canary_ask_cloud": {"number"},
        "canary_reply": {"secret"},
        "canary_told": {"secret"},
    },
    "instructions": {
        "copy": {"text"},
        "first": {"a", "b"},
        "second": {"a", "b"},
        "lookup": {"notes", "question"},
        "remember": {"a"},
        "remember_reply": {"a"},
        "recall_reply": {"a"},
    },
}


def check_pack(pack: LanguagePack, where: str) -> None:
    """Refuses a pack that breaks a rule.

    Raises:
        CorpusError: names the intent, the form or value, and the remedy.
    """
    for table, keys in _TABLE_KEYS.items():
        present = getattr(pack, table)
        for key in keys:
            _require(bool(present.get(key)), where, f"table [{table}] lacks {key!r}", "add it")
            allowed = _FORM_SLOTS[table].get(key, set())
            for form in [present[key]] if isinstance(present[key], str) else present[key]:
                wrong = slots_of(form) - allowed
                _require(
                    not wrong, where, f"[{table}] {key}: {form!r} has unknown slots {sorted(wrong)}", "remove them"
                )
    for talk in pack.mentions:
        for form in (*talk.ask, *talk.reply):
            wrong = slots_of(form) - _MENTION_SLOTS
            _require(not wrong, where, f"mention {form!r} has unknown slots {sorted(wrong)}", "remove them")
    _require(
        len(pack.categories) >= MIN_CATEGORIES,
        where,
        f"{len(pack.categories)} categories",
        f"write at least {MIN_CATEGORIES}",
    )
    _require(len(pack.intents) >= MIN_INTENTS, where, f"{len(pack.intents)} intents", f"write at least {MIN_INTENTS}")
    _distinct((intent.name for intent in pack.intents), where, "intent name")
    for scope in ("shop", "product", "platform"):
        _require(len(pack.with_scope(scope)) >= 4, where, f"few intents of scope {scope!r}", "write at least 4")
    for place in ("open", "middle", "close"):
        able = [intent for intent in pack.with_scope("none") if intent.place == place]
        _require(bool(able), where, f"no intent of scope 'none' has place={place!r}", "write one")
    _distinct(
        (name for category in pack.categories for name in (*category.public, *category.private)), where, "product"
    )
    for category in pack.categories:
        for pool in (category.public, category.private):
            _require(len(pool) >= 3, where, f"category {category.name!r} has {len(pool)} products", "list at least 3")
    for intent in pack.intents:
        _check_intent(intent, pack, f"{where}, intent {intent.name!r}")
        _check_traps(intent, pack, f"{where}, intent {intent.name!r}")
    _check_held_out(pack, where)


def _require(holds: bool, where: str, problem: str, remedy: str) -> None:
    if not holds:
        raise CorpusError(f"language pack {where}: {problem}; {remedy}")


def _distinct(names: Iterable[str], where: str, what: str) -> None:
    seen: set[str] = set()
    for name in names:
        _require(name not in seen, where, f"{what} {name!r} stands twice", "rename one")
        seen.add(name)


def _check_intent(intent: Intent, pack: LanguagePack, where: str) -> None:
    _require(intent.scope in _ASK_SLOTS, where, f"scope={intent.scope!r}", f"choose one of: {', '.join(_ASK_SLOTS)}")
    counts = {
        "ask": MIN_ASK,
        "ask_test": MIN_ASK_TEST,
        "reply": MIN_REPLY,
        "reply_held_out": MIN_REPLY_HELD_OUT,
        "assistant": MIN_ASSISTANT,
    }
    for key, least in counts.items():
        forms = getattr(intent, key)
        _require(len(forms) >= least, where, f"{len(forms)} forms in {key!r}", f"write at least {least}")
    names = {category.name for category in pack.categories}
    for name in intent.categories:
        _require(name in names, where, f"category {name!r} is unknown", f"choose from: {', '.join(sorted(names))}")
    known = {other.name for other in pack.intents if other.scope != "none"}
    for name in intent.after:
        _require(name in known, where, f"after={name!r} is no intent with a fact", "name one of this pack")
    for form in (*intent.ask, *intent.ask_test, *intent.ellipsis, *intent.ellipsis_test):
        wrong = slots_of(form) - _ASK_SLOTS[intent.scope]
        _require(not wrong, where, f"question {form!r} has unknown slots {sorted(wrong)}", "remove them")
    for form in (*intent.reply, *intent.reply_held_out):
        wrong = slots_of(form) - _REPLY_SLOTS[intent.scope]
        _require(not wrong, where, f"reply {form!r} has unknown slots {sorted(wrong)}", "remove them")
        stated = intent.scope == "none" or "value" in slots_of(form)
        _require(stated, where, f"reply {form!r} does not state {{value}}", "add the slot")
    for form in intent.assistant:
        _require("value" not in slots_of(form), where, f"assistant form {form!r} states a fact", "remove {value}")
    if intent.scope != "none" and not intent.states_product:
        elliptic = bool(intent.ellipsis and intent.ellipsis_test)
        _require(elliptic, where, "'ellipsis' or 'ellipsis_test' is empty", "write at least one form in each")
        for pool in ("public", "private"):
            values = getattr(intent, pool)
            _require(len(values) >= MIN_VALUES, where, f"{len(values)} {pool} values", f"list at least {MIN_VALUES}")
        _distinct((form for value in (*intent.public, *intent.private) for form in value), where, "value form")
        for value in intent.drift_to:
            _require(value in intent.private, where, f"drift_to={value[0]!r} is no private value", "list it there")


def _check_traps(intent: Intent, pack: LanguagePack, where: str) -> None:
    """The wording around a value must state no value itself, nor hide an address word inside another word."""
    values = {form for value in (*intent.public, *intent.private) for form in value}
    wording = {
        p for form in (*intent.reply, *intent.reply_held_out) for text in expand(form) for p in split_literals(text)
    }
    if intent.scope == "product" and not intent.states_product:
        fitting = [c for c in pack.categories if not intent.categories or c.name in intent.categories]
        wording |= {name for category in fitting for name in (*category.public, *category.private)}
    wording |= {*pack.voice["tails"], *pack.voice["openers"]}
    for text, value in _found(wording, values):
        _require(False, where, f"the wording {text!r} contains the value {value!r}", "reword it")
    for text, address in _found(wording | values, pack.voice["addresses"]):
        _require(False, where, f"{text!r} contains the address word {address!r}", "reword it")


def _found(texts: Iterable[str], forms: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(text, form) wherever one of the texts states one of the forms."""
    ordered = sorted(texts)
    together = "\n".join(ordered).lower()
    for form in sorted(forms):
        if form.lower() in together:  # few are, and finding takes long
            yield from ((text, form) for text in ordered if find_form(text, form))


def _check_held_out(pack: LanguagePack, where: str) -> None:
    """No text may be both a training question and a held-out one, of the same or of another intent."""
    trained = {text: intent.name for intent in pack.intents for form in intent.ask for text in expand(form)}
    trained |= {text: intent.name for intent in pack.intents for form in intent.ellipsis for text in expand(form)}
    trained |= {text: "customer.switch" for form in pack.customer["switch"] for text in expand(form)}
    held_out = [(i.name, form) for i in pack.intents for form in (*i.ask_test, *i.ellipsis_test)]
    held_out += [("customer.switch_test", form) for form in pack.customer["switch_test"]]
    for name, form in held_out:
        for text in expand(form):
            _require(
                text not in trained,
                where,
                f"held-out question {text!r} of {name!r} is a training question of {trained.get(text)!r}",
                "reword one of them",
            )
