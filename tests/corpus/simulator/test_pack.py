"""The Chinese pack is rich and sound, and a broken pack is refused by name."""

import shutil
from difflib import SequenceMatcher
from pathlib import Path

import pytest

from ecc_fed.core.errors import CorpusError
from ecc_fed.core.facts import states_fact
from ecc_fed.core.truth import Fact
from ecc_fed.corpus.simulator.pack import PACKS, known_languages, load_pack, read_pack
from ecc_fed.corpus.simulator.pack_records import Intent
from ecc_fed.corpus.simulator.surface import expand, fill, split_literals

PACK = load_pack("zh")
FACTUAL = [intent for intent in PACK.intents if intent.scope != "none"]


def test_the_pack_is_rich() -> None:
    assert known_languages() == ["zh"]
    assert len(PACK.intents) >= 30 and len(FACTUAL) >= 30
    assert len(PACK.categories) >= 8
    for intent in PACK.intents:
        assert len(intent.ask) >= 6 and len(intent.ask_test) >= 3
        assert len(intent.reply) >= 4 and len(intent.reply_held_out) >= 2 and len(intent.assistant) >= 2


def test_public_and_private_values_are_disjoint() -> None:
    for intent in FACTUAL:
        public = {form for value in intent.public for form in value}
        private = {form for value in intent.private for form in value}
        assert not public & private, intent.name
    public_products = {name for category in PACK.categories for name in category.public}
    private_products = {name for category in PACK.categories for name in category.private}
    assert not public_products & private_products


@pytest.mark.parametrize("intent", FACTUAL, ids=lambda intent: intent.name)
def test_every_reply_form_states_its_value_and_no_other(intent: Intent) -> None:
    values = list(intent.competing)
    slots = {"p": PACK.voice["particles"][0], "product": PACK.categories[0].private[0], "number": "123456"}
    for form in (*intent.reply, *intent.reply_held_out):
        for at, value in enumerate(values):
            fact = Fact(intent.name, intent.name, "shop", value, intent.competing[value])
            for text in expand(form):
                for said in value:
                    assert states_fact(fill(text, slots | {"value": said}), fact), (text, said)
            wrong = values[(at + 1) % len(values)]
            assert not states_fact(fill(expand(form)[0], slots | {"value": wrong[0]}), fact), (form, wrong)


def test_no_value_passes_for_another() -> None:
    for intent in FACTUAL:
        for value, competing in intent.competing.items():
            fact = Fact(intent.name, intent.name, "shop", value, competing)
            assert not any(states_fact(other, fact) for other in competing), (intent.name, value)


@pytest.mark.parametrize("intent", FACTUAL, ids=lambda intent: intent.name)
def test_held_out_questions_are_no_near_copies(intent: Intent) -> None:
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


@pytest.mark.parametrize("intent", PACK.widened().intents, ids=lambda intent: intent.name)
def test_public_wordings_keep_away_from_held_out_forms(intent: Intent) -> None:
    """The same cap as for training forms: what the embedded models read gives no held-out form away."""

    def wording(forms: tuple[str, ...]) -> set[str]:
        return {"".join(split_literals(text)) for form in forms for text in expand(form)}

    def near(text: str, other: str) -> bool:
        match = SequenceMatcher(None, text, other)
        return match.quick_ratio() > 0.72 and match.ratio() > 0.72

    more = PACK.wordings[intent.name]
    pairs = [(more.ask, intent.ask_test), (more.ellipsis, intent.ellipsis_test), (more.reply, intent.reply_held_out)]
    for public, held_out in pairs:
        copies = [(a, b) for a in wording(public) for b in wording(held_out) if near(a, b)]
        assert not copies


def test_product_names_hide_no_value() -> None:
    for intent in FACTUAL:
        if intent.scope == "product" and not intent.states_product:
            for category in PACK.categories:
                if not intent.categories or category.name in intent.categories:
                    names = "".join((*category.public, *category.private))
                    assert not any(form in names for value in intent.competing for form in value)


def broken_pack(folder: Path, file: str, old: str, new: str) -> Path:
    shutil.copytree(PACKS / "zh", folder / "pack")
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


def test_a_sound_copy_is_accepted(tmp_path: Path) -> None:
    shutil.copytree(PACKS / "zh", tmp_path / "pack")
    assert [intent.name for intent in read_pack(tmp_path / "pack").intents] == [i.name for i in PACK.intents]
