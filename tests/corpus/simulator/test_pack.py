"""Every pack is rich and sound, each is the others' counterpart, and a broken pack is refused by name."""

import re
import shutil
from difflib import SequenceMatcher
from pathlib import Path

import pytest

from ecc_fed.core.errors import CorpusError
from ecc_fed.core.facts import find_form, states_fact
from ecc_fed.core.truth import Fact
from ecc_fed.corpus.simulator.pack import PACKS, known_languages, load_pack, read_pack
from ecc_fed.corpus.simulator.pack_records import Intent, LanguagePack
from ecc_fed.corpus.simulator.surface import expand, fill, split_literals

PACKS_READ = {language: load_pack(language) for language in known_languages()}
every_pack = pytest.mark.parametrize("pack", PACKS_READ.values(), ids=PACKS_READ)


def factual(pack: LanguagePack) -> list[Intent]:
    return [intent for intent in pack.intents if intent.scope != "none"]


FACTUAL = [(pack, intent) for pack in PACKS_READ.values() for intent in factual(pack)]
WIDENED = [(pack, intent) for pack in PACKS_READ.values() for intent in pack.widened().intents]


def each_of(pairs: list[tuple[LanguagePack, Intent]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("pack", "intent"), pairs, ids=[f"{pack.language}-{intent.name}" for pack, intent in pairs]
    )


def test_the_languages() -> None:
    assert known_languages() == ["en", "zh"]
    assert all(pack.language == language for language, pack in PACKS_READ.items())


@every_pack
def test_the_pack_is_rich(pack: LanguagePack) -> None:
    assert len(pack.intents) >= 30 and len(factual(pack)) >= 30
    assert len(pack.categories) >= 8
    for intent in pack.intents:
        assert len(intent.ask) >= 6 and len(intent.ask_test) >= 3
        assert len(intent.reply) >= 4 and len(intent.reply_held_out) >= 2 and len(intent.assistant) >= 2


def test_packs_are_each_others_counterparts() -> None:
    """The same topics with as many values and forms each, so that figures in two languages can be held together."""

    def counts(pack: LanguagePack) -> dict[str, object]:
        lists = ("ask", "ask_test", "ellipsis", "ellipsis_test", "reply", "reply_held_out", "assistant")
        told = {
            intent.name: (
                (intent.scope, intent.place, intent.weight, intent.always, intent.drifts, intent.reserved),
                (intent.states_product, intent.after, intent.categories),
                [len(getattr(intent, key)) for key in (*lists, "public", "private", "drift_to")],
                [len(getattr(pack.wordings[intent.name], key)) for key in ("ask", "ellipsis", "reply")],
            )
            for intent in pack.intents
        }
        categories = [(each.name, len(each.public), len(each.private)) for each in pack.categories]
        names = [len(part) for part in pack.shop_names]
        tables = (pack.voice, pack.customer, pack.identity, pack.instructions)
        lengths = [
            {key: len(value) for key, value in table.items() if isinstance(value, (list, tuple))} for table in tables
        ]
        talk = [(len(each.ask), len(each.reply)) for each in (*pack.small_talk, *pack.mentions)]
        return {**told, "tables": (categories, names, lengths, talk, pack.small_talk_share)}

    assert counts(PACKS_READ["en"]) == counts(PACKS_READ["zh"])


@every_pack
def test_public_and_private_values_are_disjoint(pack: LanguagePack) -> None:
    for intent in factual(pack):
        public = {form for value in intent.public for form in value}
        private = {form for value in intent.private for form in value}
        assert not public & private, intent.name
    public_products = {name for category in pack.categories for name in category.public}
    private_products = {name for category in pack.categories for name in category.private}
    assert not public_products & private_products


@each_of(FACTUAL)
def test_every_reply_form_states_its_value_and_no_other(pack: LanguagePack, intent: Intent) -> None:
    values = list(intent.competing)
    slots = {"p": pack.voice["particles"][0], "product": pack.categories[0].private[0], "number": "123456"}
    for form in (*intent.reply, *intent.reply_held_out):
        for at, value in enumerate(values):
            fact = Fact(intent.name, intent.name, "shop", value, intent.competing[value])
            for text in expand(form):
                for said in value:
                    assert states_fact(fill(text, slots | {"value": said}), fact), (text, said)
            wrong = values[(at + 1) % len(values)]
            assert not states_fact(fill(expand(form)[0], slots | {"value": wrong[0]}), fact), (form, wrong)


@every_pack
def test_no_value_passes_for_another(pack: LanguagePack) -> None:
    for intent in factual(pack):
        for value, competing in intent.competing.items():
            fact = Fact(intent.name, intent.name, "shop", value, competing)
            assert not any(states_fact(other, fact) for other in competing), (intent.name, value)


@each_of(FACTUAL)
def test_held_out_questions_are_no_near_copies(pack: LanguagePack, intent: Intent) -> None:
    """Characters in common with the nearest training question, slots left aside: 1 would be a copy."""

    def wording(form: str) -> list[str]:
        return ["".join(split_literals(text)) for text in expand(form)]

    trained = [text for form in intent.ask for text in wording(form)]
    nearest = [
        max(SequenceMatcher(None, text, other).ratio() for other in trained)
        for form in intent.ask_test
        for text in wording(form)
    ]
    assert max(nearest) <= 0.72
    assert 0.2 < sum(nearest) / len(nearest) < 0.65 or intent.states_product


@each_of(WIDENED)
def test_public_wordings_keep_away_from_held_out_forms(pack: LanguagePack, intent: Intent) -> None:
    """The same cap as for training forms: what the embedded models read gives no held-out form away."""

    def wording(forms: tuple[str, ...]) -> set[str]:
        return {"".join(split_literals(text)) for form in forms for text in expand(form)}

    def near(text: str, other: str) -> bool:
        match = SequenceMatcher(None, text, other)
        return match.quick_ratio() > 0.72 and match.ratio() > 0.72

    more = pack.wordings[intent.name]
    pairs = [(more.ask, intent.ask_test), (more.ellipsis, intent.ellipsis_test), (more.reply, intent.reply_held_out)]
    for public, held_out in pairs:
        copies = [(a, b) for a in wording(public) for b in wording(held_out) if near(a, b)]
        assert not copies


@every_pack
def test_product_names_hide_no_value(pack: LanguagePack) -> None:
    for intent in factual(pack):
        if intent.scope == "product" and not intent.states_product:
            for category in pack.categories:
                if not intent.categories or category.name in intent.categories:
                    names = "".join((*category.public, *category.private))
                    assert not any(find_form(names, form) for value in intent.competing for form in value)


def test_english_customers_have_nobodys_numbers_and_places() -> None:
    """Their telephones are the 555-01xx of fiction, and no post office has a code below 00500."""
    identity = PACKS_READ["en"].identity
    assert all(form.endswith("##-555-01##") for form in expand(identity["phone"]))
    assert all(re.search(r", [A-Z]{2} 00[1-4][0-9]{2}$", city) for city in identity["cities"])


def broken_pack(folder: Path, file: str, old: str, new: str, language: str = "zh") -> Path:
    shutil.copytree(PACKS / language, folder / "pack")
    target = folder / "pack" / file
    text = target.read_text(encoding="utf-8")
    assert old in text
    target.write_text(text.replace(old, new, 1), encoding="utf-8")
    return folder / "pack"


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("shop.toml", 'name = "courier"', 'name = "courier', r"shop\.toml: not valid TOML"),
        ("shop.toml", 'scope = "shop"', 'scope = "shoop"', r"intent 'courier': scope='shoop'; choose one of"),
        ("shop.toml", "always = true", 'always = "yes"', r"intent 'courier': always='yes' has the wrong type"),
        ("shop.toml", "drifts = true", "drifting = true", r"intent 'courier' has the unknown key 'drifting'"),
        ("shop.toml", "ask_test = [", "ask_tset = [", r"intent 'courier' lacks 'ask_test'; add it"),
        ("shop.toml", '"可以发{other}吗"', '"可以发{rival}吗"', r"courier.*unknown slots \['rival'\]; remove"),
        ("shop.toml", "都是发{value}的{p}", "都是发这个的{p}", r"courier.*does not state \{value\}; add the slot"),
        ("shop.toml", "都是发{value}的{p}", "不发中通发{value}{p}", r"contains the value '中通'; reword"),
        ("shop.toml", "都是发{value}的{p}", "亲测{value}最快{p}", r"contains the address word '亲'; reword"),
        (
            "shop.toml",
            '"寄的是哪一家快递公司"',
            '"快递是哪家的"',
            r"held-out question '快递是哪家的' of 'courier' is a training",
        ),
        ("shop.toml", '"申通", ', '"中通", ', r"courier.*value form '中通' stands twice; rename one"),
        ("shop.toml", '"cutoff_hour", "arrival_days"', '"cutof_hour"', r"after='cutof_hour' is no intent"),
        ("product.toml", '"clothing"', '"clothes"', r"category 'clothes' is unknown; choose from"),
        ("product.toml", '["售罄", "断货"]', '["卖光"]', r"drift_to='卖光' is no private value"),
        ("lexicon.toml", "[shop_names]", "[names]", r"table or key 'shop_names' is missing; add it"),
        ("lexicon.toml", "tails = [", "tail = [", r"table \[voice\] lacks 'tails'; add it"),
        ("lexicon.toml", '"那{product}呢"', '"那{item}呢"', r"\[customer\] switch.*unknown slots \['item'\]"),
        ("lexicon.toml", '"芒果干"', '"坚果礼盒"', r"product '坚果礼盒' stands twice"),
    ],
)
def test_a_broken_pack_is_refused(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read_pack(broken_pack(tmp_path, file, old, new))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("shop.toml", "we {value}{p}", "on weekends we mostly rest{p}", r"weekend_.*does not state \{value\}; add"),
        (
            "shop.toml",
            "our shop works with {value}{p}",
            "not Parcelway but {value}{p}",
            r"the value 'Parcelway'; reword",
        ),
        ("shop.toml", "we [use|go with] {value}{p}", "we use {value}, Boss{p}", r"contains the address word 'boss'"),
        (
            "shop.toml",
            '"whose courier is it"',
            '"which carrier"',
            r"question 'which carrier' of 'courier' is a training",
        ),
        (
            "product.toml",
            "it is all {value}, very",
            "unlike SILK it is all {value}, very",
            r"contains the value 'silk'",
        ),
        ("lexicon.toml", '"down jacket"', '"silk jacket"', r"the wording 'silk jacket' contains the value 'silk'"),
        ("lexicon.toml", 'name = "{given} {surname}"', 'name = "{given} {family}"', r"unknown slots \['family'\]"),
        ("lexicon.toml", "between_words", "between", r"table or key 'between_words' is missing; add it"),
    ],
)
def test_a_broken_english_pack_is_refused(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read_pack(broken_pack(tmp_path, file, old, new, "en"))


def test_a_value_inside_a_longer_word_is_no_trap(tmp_path: Path) -> None:
    assert any("noon" in value for intent in factual(PACKS_READ["en"]) for value in intent.private)
    read_pack(broken_pack(tmp_path, "shop.toml", "by {value} goes out", "this afternoon by {value} goes out", "en"))


@every_pack
def test_a_sound_copy_is_accepted(pack: LanguagePack, tmp_path: Path) -> None:
    shutil.copytree(PACKS / pack.language, tmp_path / "pack")
    assert [intent.name for intent in read_pack(tmp_path / "pack").intents] == [i.name for i in pack.intents]
