"""axe-core finds nothing wrong with the pages of a run, a comparison and a sweep, narrow or wide, light or dark."""

import pytest

from ecc_fed.core.rows import FailureRow
from ecc_fed.reporting.report import report
from tests.reporting.browser import axe, chromium, in_browser
from tests.reporting.conftest import write_run

# Colours do not depend on the width: every width, and both schemes, in three looks at each page.
LOOKS = ((1400, "light"), (800, "dark"), (390, "dark"))
# What is folded away would not be looked at; and where the shade that tells of a scrolled table lies behind a text, or
# the first column that stays before it, axe knows no contrast.
PREPARE = """
for (const details of document.querySelectorAll("details")) details.open = true;
const style = document.createElement("style");
style.textContent = ".scroll { background: var(--card) !important } th { position: static !important }";
document.head.append(style);
"""
# Of contrast within drawings axe knows nothing, nor of cells that are scrolled out of sight; wide pages show these.
RUN = """
const beyond = ["bgOverlap", "elmPartiallyObscured", "outsideViewport", "shortTextContent"];
const isBeyond = (node) => node.html.startsWith("<text") ||
  node.any.some((check) => beyond.includes(check.data?.messageKey));
const told = (rules) => rules
  .map((rule) => [rule.id, rule.nodes.filter((node) => !isBeyond(node)).map((node) => node.html.slice(0, 200))])
  .filter(([id, nodes]) => nodes.length > 0);
const found = await axe.run();
return {
  width: innerWidth,
  dark: matchMedia("(prefers-color-scheme: dark)").matches,
  passes: found.passes.length,
  violations: told(found.violations),
  unsure: told(found.incomplete),
};
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The page of each kind, by its name."""
    chromium()
    axe()
    root = tmp_path_factory.mktemp("pages")
    write_run(root / "run", "local", queries=12, shops=3, others=True)
    failures = [FailureRow("shop_dropped", "host died", 2, "shop_01")]
    for arm in ("none", "local", "aggregated"):
        write_run(root / f"study/{arm}", arm, queries=12, shops=3, failures=failures, others=True)
    for rank in (1, 4, 64):
        write_run(root / f"sweep/{rank}", "aggregated", queries=6, shops=3, config=f"adapter:\n  rank: {rank}\n")
    return {name: report([root / name]).read_text(encoding="utf-8") for name in ("run", "study", "sweep")}


def examine(page, folder, width, scheme):
    """What axe says of the page."""
    return in_browser(page, PREPARE + axe() + RUN, folder, width, scheme)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), LOOKS)
@pytest.mark.parametrize("name", ["run", "study", "sweep"])
def test_nothing_is_found(pages, tmp_path, name, width, scheme):
    found = examine(pages[name], tmp_path, width, scheme)
    assert (found["width"], found["dark"]) == (width, scheme == "dark")
    assert found["passes"] > 20
    assert found["violations"] == []
    # Neither may it be left open, or contrast that axe cannot tell would count as enough.
    assert found["unsure"] == []


@pytest.mark.slow
def test_what_is_wrong_would_be_found(pages, tmp_path):
    page = pages["run"].replace("--soft: #5c6570", "--soft: #c5c8cc").replace("<label><span>", "<label hidden><span>")
    page = page.replace('tabindex="0"', "")
    found = examine(page, tmp_path, 390, "light")
    rules = {rule for rule, _ in found["violations"]}
    assert {"color-contrast", "scrollable-region-focusable"} <= rules


@pytest.mark.slow
def test_a_shade_behind_a_text_is_not_passed_over(pages, tmp_path):
    plain, shaded = (
        "body { margin: 0; background: var(--bg)",
        "body { margin: 0; background: linear-gradient(red, white)",
    )
    page = pages["run"].replace(plain, shaded)
    assert "color-contrast" in {rule for rule, _ in examine(page, tmp_path, 1400, "light")["unsure"]}
