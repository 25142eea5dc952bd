"""What evolution gained each shop: after minus before, with the shop's own dialogues."""

import csv
import io

from ecc_fed.reporting.comparison.export import csv_files
from ecc_fed.reporting.comparison.findings import find
from ecc_fed.reporting.comparison.tables import gains_table
from ecc_fed.reporting.report import report
from ecc_fed.reporting.study import load_study


def test_gains_are_each_shops_own(known_run, tmp_path):
    rights = {"a": [1] * 12, "b": [0] * 12, "c": [1] * 3 + [0] * 9}
    root = known_run("local", 0, rights, name="study/local")
    known_run("none", 0, rights, name="study/none", rounds=0)
    samples = (root / "samples.jsonl").read_text(encoding="utf-8")
    before = samples.replace('"phase": "final"', '"phase": "base"').replace('"phase":"final"', '"phase":"base"')
    assert before != samples
    (root / "samples.jsonl").write_text(
        samples + before.replace('"stated": true', '"stated": false').replace('"stated":true', '"stated":false'),
        encoding="utf-8",
    )
    findings = find(load_study([tmp_path / "study"]))
    (gain,) = [gain for gain in findings.gains if gain.measure == findings.outcome]
    assert (gain.group.arm, gain.baseline) == ("local", gain.group)
    found = {one.shop.shop_id: (one.estimate.mean, one.effect) for one in gain.shops}
    assert found == {"a": (1.0, "helped"), "b": (0.0, "undecided"), "c": (0.25, "undecided")}
    rows = list(csv.DictReader(io.StringIO(csv_files(findings)["gains.csv"])))
    told = {row["shop"]: (float(row["difference"]), row["effect"]) for row in rows if row["measure"] == "facts_right"}
    assert told == found
    table = gains_table(findings)
    assert table.columns[:2] == ("Shop", "Facts right")
    assert [(row[0].text, row[1].text, row[1].tone) for row in table.rows] == [
        ("a", "+100.0", "good"), ("b", "+0.0", ""), ("c", "+25.0", ""),
    ]  # fmt: skip
    page = report([tmp_path / "study"]).read_text(encoding="utf-8")
    assert 'aria-label="Facts right: after minus before evolution, shop by shop"' in page
