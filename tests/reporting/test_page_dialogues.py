"""The page's dialogues: all there without a script, and with it chosen by text, shop, arm and verdict."""

import re

import pytest

from ecc_fed.reporting.page.dialogues import facts_of, judge_of, shown
from ecc_fed.reporting.report import report
from ecc_fed.reporting.study import load_study
from tests.reporting.browser import in_browser

LOOK = """
const form = document.getElementById("filter");
const set = (name, value) => {
  form.elements[name].value = value;
  form.elements[name].dispatchEvent(new Event("input", { bubbles: true }));
};
const visible = (selector, root = document) =>
  [...root.querySelectorAll(selector)].filter((one) => one.checkVisibility());
const look = () => ({
  said: form.querySelector("output").textContent,
  shops: visible("details.dialogue").map((one) => one.dataset.shop),
  replies: visible("details.dialogue").map((one) =>
    [...one.querySelectorAll("[data-arm]")].filter((reply) => !reply.hidden).map((reply) => ({ ...reply.dataset }))),
  texts: visible("details.dialogue").map((one) => one.textContent),
  headings: visible("section.outcome > h3").length,
});
const steps = {};
"""
STEPS = """
steps.first = look();
set("shop", "shop_01"); steps.shop = look();
set("shop", ""); set("text", "  第7单 SHOP_00 "); steps.text = look();
set("text", ""); set("arm", "local"); set("facts", "wrong"); set("judge", "refused"); steps.wrong = look();
set("text", "no such words"); steps.nothing = look();
form.reset(); await new Promise((done) => setTimeout(done)); steps.again = look();
const takesFocus = (one) => { one.focus(); return document.activeElement === one; };
steps.focus = visible("input, select, button", form).every(takesFocus);
steps.live = form.querySelector("output").getAttribute("aria-live");
steps.labelled = [...form.querySelectorAll("input, select")].every((one) => one.labels.length === 1);
return steps;
"""


@pytest.fixture
def study(make_run, tmp_path):
    for arm in ("none", "local", "aggregated"):
        make_run(f"study/{arm}", arm, queries=20, shops=3)
    return load_study([tmp_path / "study"])


def test_every_outcome_has_its_share_of_the_dialogues(study):
    found = shown(study)
    counts = [len(part.dialogues) for part in found.parts]
    assert sum(counts) == len(found.all) == 36
    assert len({(one.before.shop_id, one.before.pair_id) for one in found.all}) == 36
    assert len(counts) == len(found.outcomes) >= 5
    assert [value for value, _ in found.shops] == ["shop_00", "shop_01", "shop_02"]
    assert [value for value, _ in found.arms] == ["local", "aggregated"]
    assert found.intents == [("courier", "courier")]
    rows = [row for dialogue in found.all for row in dialogue.after.values()]
    assert {value for value, _ in found.facts} == {facts_of(row) for row in rows} == {"right", "wrong", "none"}
    assert {value for value, _ in found.judged} == {judge_of(row) for row in rows}


def test_without_a_script_everything_is_there(study, tmp_path):
    page = report([tmp_path / "study"]).read_text(encoding="utf-8")
    dialogues = re.findall(r'<details class="dialogue"[^>]*>', page)
    assert len(dialogues) == 36 and not any("hidden" in one for one in dialogues)
    assert sum(" open" in one for one in dialogues) == len(shown(study).parts)
    assert re.search(r'<form id="filter"[^>]* hidden>', page), "a filter that can do nothing is not shown"
    # Of one intent there is nothing to choose.
    assert 'name="shop"' in page and 'name="intent"' not in page


def test_a_reader_chooses_by_text_shop_arm_and_verdict(study, tmp_path):
    page = report([tmp_path / "study"]).read_text(encoding="utf-8")
    steps = in_browser(page, LOOK + STEPS, tmp_path)
    first, shop, text, wrong, nothing = (steps[name] for name in ("first", "shop", "text", "wrong", "nothing"))
    assert first["said"] == "36 of 36 dialogues shown" and len(first["shops"]) == 36
    assert 0 < len(shop["shops"]) < 36 and set(shop["shops"]) == {"shop_01"}
    assert shop["said"] == f"{len(shop['shops'])} of 36 dialogues shown"
    assert all("第7单" in one and "shop_00" in one for one in text["texts"]) and len(text["texts"]) <= 1
    assert 0 < len(wrong["shops"]) < 36
    for replies in wrong["replies"]:
        assert [(one["arm"], one["facts"], one["judge"]) for one in replies] == [("local", "wrong", "refused")]
    assert nothing["said"] == "0 of 36 dialogues shown" and nothing["headings"] == 0
    assert steps["again"] == first
    assert (steps["focus"], steps["live"], steps["labelled"]) == (True, "polite", True)


def test_a_page_without_dialogues_has_no_filter(make_run):
    page = report([make_run("run", queries=0)]).read_text(encoding="utf-8")
    assert "<script" not in page and 'id="filter"' not in page
