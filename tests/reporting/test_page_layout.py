"""Where the page is narrow, a wide table says so and keeps its first column; on paper every column is there."""

import pytest

from ecc_fed.reporting.report import report
from tests.reporting.browser import chromium, in_browser

NARROW = """
const wide = [...document.querySelectorAll(".scroll")].filter((one) => one.scrollWidth > one.clientWidth + 20);
return wide.map((region) => {
  const first = region.querySelector("tbody th"), second = region.querySelector("tbody td");
  const before = [first, second].map((cell) => cell.getBoundingClientRect().left);
  region.scrollLeft = 20;
  const after = [first, second].map((cell) => cell.getBoundingClientRect().left);
  return {
    moved: before.map((left, place) => Math.round(left - after[place])),
    shaded: getComputedStyle(region).backgroundImage.split("linear-gradient").length - 1,
    focusable: region.tabIndex === 0 && region.getAttribute("aria-label").length > 0,
  };
});
"""
PAPER = """
for (const details of document.querySelectorAll("details")) details.open = true;
return {
  tables: [...document.querySelectorAll("table")].map((table) => table.offsetWidth - table.parentElement.clientWidth),
  sheet: document.documentElement.scrollWidth - innerWidth,
  buttons: [...document.querySelectorAll(".take a, #filter")].filter((one) => one.checkVisibility()).length,
};
"""


@pytest.fixture
def page(make_run, tmp_path):
    chromium()
    for arm in ("none", "local", "aggregated"):
        make_run(f"study/{arm}", arm, queries=4, shops=2, config="adapter:\n  a_long_name_of_a_setting: 12345\n")
    for value in range(10):  # as many columns of bytes
        config = f"adapter:\n  a_long_name_of_a_setting: 6789{value}\n"
        make_run(f"study/{value}", "local", queries=1, shops=1, config=config)
    return report([tmp_path / "study"]).read_text(encoding="utf-8")


def test_a_wide_table_says_that_it_goes_on_and_keeps_its_first_column(page, tmp_path):
    found = in_browser(page, NARROW, tmp_path, width=390)
    assert len(found) > 5
    assert all(one == {"moved": [0, 20], "shaded": 2, "focusable": True} for one in found)


def test_on_paper_every_column_is_there(page, tmp_path):
    # A sheet of A4 between its margins.
    found = in_browser(page.replace("@media print", "@media screen"), PAPER, tmp_path, width=700)
    assert len(found["tables"]) > 10 and max(found["tables"]) <= 0
    assert (found["sheet"] <= 0, found["buttons"]) == (True, 0)
