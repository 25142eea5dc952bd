"""Errors, ranks and bytes by method, from the rows of run.json."""

from dataclasses import replace

import pytest

from ecc_fed.core.rows import AggregationRow
from ecc_fed.reporting.comparison.figures.over_time import method_errors
from ecc_fed.reporting.comparison.findings import find
from ecc_fed.reporting.comparison.tables import methods_table
from ecc_fed.reporting.study import load_study

WRAPPED = """
strategy:
  _target_: ecc_fed.federation.aggregation.server_optimizers.FedAdam
  mean:
    _target_: ecc_fed.federation.aggregation.fedavg.FedAvg
"""


def aggregating(*rows):
    return lambda info: replace(info, aggregation=rows)


def test_figures_by_method(known_run, tmp_path):
    first = AggregationRow(1, 0.5, 8, {"a": 2, "b": 8}, 100, 40, 0.5), AggregationRow(2, 0.3, 8, {"a": 2}, 300, 60, 0.7)
    second = AggregationRow(1, 0.1, 8), AggregationRow(2, None, 6)
    known_run("aggregated", 0, {"a": [1]}, name="avg0", config=WRAPPED, change=aggregating(*first))
    known_run("aggregated", 1, {"a": [1]}, name="avg1", config=WRAPPED, change=aggregating(*second))
    exact = aggregating(AggregationRow(1, 0.0), AggregationRow(2, 3e-7))
    known_run("aggregated", 0, {"a": [1]}, name="flora", config="strategy:\n  _target_: p.Flora\n", change=exact)
    known_run("local", 0, {"a": [1]})
    findings = find(load_study([tmp_path]))
    adam, flora = findings.methods
    assert (adam.method, flora.method) == ("fedadam of fedavg", "flora")
    # A round that reports no error takes no part in its mean.
    assert adam.errors == {1: pytest.approx(0.3), 2: pytest.approx(0.3)}
    assert (adam.rank, adam.ranks, adam.bytes_up, adam.bytes_down) == (7.0, (2, 8), 200.0, 50.0)
    assert (adam.exact, flora.exact, flora.bytes_up, flora.rank) == (False, True, None, None)
    texts = [[cell.text for cell in row] for row in methods_table(findings).rows]
    assert texts[0][2:] == ["0.300", "0.300", "no", "7", "2–8", "200 B", "50 B", "0.60"]
    assert texts[1][9] == "–"
    assert texts[1][2:5] == ["below 1e-05", "below 1e-05", "yes"]
    drawn = method_errors(findings.methods)
    assert ">0.1</text>" in drawn
    assert "mathdefault" not in drawn
    assert method_errors(findings.methods[:1]) is None
