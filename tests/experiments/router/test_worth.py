"""Tables of a router's worth, on invented runs whose rights and wrongs are known."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecc_fed.core.errors import ConfigError, UserError
from ecc_fed.core.rows import CloudCalls, Signals, encode
from ecc_fed.reporting.routing.queries import RoutedQuery, routed_queries
from ecc_fed.reporting.run import load_run
from experiments.router.network import Network
from experiments.router.worth import CloudCall, Worth, answers_table, latency_table, main
from tests.reporting.conftest import write_run


def query(place: int, device: float, cloud: float, confidence: float) -> RoutedQuery:
    return RoutedQuery(
        (f"s{place % 3}", f"d{place}"), confidence, Signals(confidence, 0.5), device, cloud, device > 0, 10, 30
    )


# The device is right where it is sure; the cloud nearly always.
QUERIES = [query(i, float(i >= 4), float(i != 9), i / 10) for i in range(10)]


def lived(folder: Path, name: str, seed: int = 0) -> Path:
    """A run whose every test query has a confidence, and the teacher's row beside it."""
    run = write_run(folder / name, seed=seed, queries=12)
    rng, lines = np.random.default_rng(seed), []
    for line in (run / "samples.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["phase"] == "final":
            row["confidence"] = round(float(rng.random()), 3)
            row["signals"] = {"margin": None, "distance": 0.25}
            facts = [fact | {"stated": True, "competing_stated": []} for fact in row["facts"]]
            lines.append(row | {"phase": "teacher", "facts": facts, "confidence": None, "reply": "cloud"})
        lines.append(row)
    (run / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    info = json.loads((run / "run.json").read_text())
    info["cloud"] = {"final": encode(CloudCalls(50, 10, cost_usd=2.0))}
    (run / "run.json").write_text(json.dumps(info))
    return run


def test_budget_quality_and_price_by_hand() -> None:
    lines = answers_table(Worth(QUERIES), CloudCall(0.01, 1000, 100), 0.4).splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells == [
        ["never the cloud", "0.0%", "60.0%", "0.000"],
        ["always the cloud", "100.0%", "90.0%", "11.111"],
        ["router, below a chance of 0.4", "40.0%", "100.0%", "4.000"],
        ["random at the router's budget", "40.0%", "72.0%", "5.556"],
        ["oracle at the router's budget", "40.0%", "100.0%", "4.000"],
    ]


def test_a_mean_chrf_resolves_nothing_and_has_no_price() -> None:
    lines = answers_table(Worth(QUERIES), CloudCall(0.01, 1000, 100), 0.4, resolves=False).splitlines()[2:]
    assert [line.strip("|").split("|")[-1].strip() for line in lines] == ["–"] * 5


def test_figures_have_intervals_over_units_and_the_same_draws_again() -> None:
    worth = Worth([query(i, float((i * 7) % 5 > 1), 1.0, (i * 7) % 5 / 5) for i in range(40)])
    found = [worth.estimate(lambda counts: worth.router(counts).gain_recovered, "router") for _ in range(2)]
    assert found[0] == found[1] and found[0] is not None
    assert found[0].mean == worth.router().gain_recovered
    assert found[0].low is not None and found[0].high is not None
    assert found[0].low < found[0].mean < found[0].high
    assert (found[0].n, found[0].shops, found[0].dialogues) == (40, 3, 40)


def test_each_signal_is_told_apart() -> None:
    areas = Worth([replace(q, signals=Signals(None, q.device)) for q in QUERIES]).areas()
    confidence, margin, nearness = areas.values()
    assert confidence is not None and confidence.mean == 1.0
    assert margin is None
    assert nearness is not None and nearness.mean == 0.0, "where the far ones are the good ones"


def test_a_query_that_is_handed_over_has_waited_for_the_device_too() -> None:
    flat = Network(rtt_milliseconds=100, rtt_spread=0.0, up_megabits=8, down_megabits=8, cloud_seconds=0.4,
                   cloud_tokens_per_second=30, device_tokens_per_second=10)  # fmt: skip
    # Device 10 / 10 = 1 s; cloud 0.1 + 1000 B / (1 MB/s) + 0.4 + 30 / 30 = 1.501 s.
    table = latency_table(Worth(QUERIES), CloudCall(0.01, 1000, 0), flat, 0.4)
    rows = [[cell.strip() for cell in line.strip("|").split("|")][1:] for line in table.splitlines()[2:]]
    assert rows == [["1.00"] * 3, ["1.50"] * 3, ["1.00", "2.50", "2.50"]]


def test_round_trips_are_drawn_from_the_seed() -> None:
    times = Network().cloud_reply_seconds([10] * 400, 0, 0) - 0.6 - 10 / 60
    assert np.median(times) == pytest.approx(0.06, rel=0.1)
    assert np.log(times).std() == pytest.approx(0.5, rel=0.1)
    assert np.array_equal(times, Network().cloud_reply_seconds([10] * 400, 0, 0) - 0.6 - 10 / 60)
    assert not np.array_equal(times, Network(seed=1).cloud_reply_seconds([10] * 400, 0, 0) - 0.6 - 10 / 60)
    with pytest.raises(ConfigError, match="up_megabits"):
        Network(up_megabits=0)


def test_runs_of_two_seeds_are_read_and_written_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [lived(tmp_path / "runs", f"r{seed}", seed) for seed in (0, 1)]
    queries = routed_queries([load_run(run) for run in runs])
    # Per shop 12 queries, one in five without facts, a few that were not judged.
    assert 0 < len(queries) <= 2 * 4 * 10 and {query.cloud for query in queries} == {1.0}
    # These two seeds share their dialogues: shops are no units, and a dialogue's replies of both seeds are one's.
    assert {query.unit[0] for query in queries} == {0} and len({query.unit[1] for query in queries}) <= 4 * 12
    assert {query.unit[0] for query in routed_queries([load_run(runs[0])])} == {
        (0, f"shop_{shop:02d}") for shop in range(4)
    }
    main([str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--confidence", "0.4"])
    assert (tmp_path / "out" / "worth.md").read_text() == capsys.readouterr().out.removesuffix("\n")
    rows = list(csv.DictReader((tmp_path / "out" / "deferral.csv").open()))
    assert len(rows) == 21 and rows[0]["router"] == rows[0]["random"] and rows[-1]["oracle"] == "1"
    svg = (tmp_path / "out" / "worth.svg").read_text()
    assert svg.startswith("<svg") and "random" in svg


def test_runs_without_confidence_are_refused_by_name(tmp_path: Path) -> None:
    write_run(tmp_path / "plain", queries=5)
    with pytest.raises(UserError, match="No test query here has the reply of both sides"):
        main([str(tmp_path / "plain"), "--out", str(tmp_path)])
