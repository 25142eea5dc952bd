"""Measures by hand on single replies."""

import math
from dataclasses import replace

import pytest

from ecc_fed.core.rows import FactRow, SampleRow
from ecc_fed.reporting.measures import BY_NAME, all_right, compare, estimate_all, means


def fact(right=True, scope="shop", seen=True, competing=(), other=()):
    return FactRow("k", "courier", scope, ("顺丰",), seen, right, tuple(competing), tuple(other), int(seen), None)


def row(*facts, pair="p0", score=None, nll=None, query="q", reference="r", chrf=None, verbatim=False):
    return SampleRow(
        shop_id="s", pair_id=pair, session_id="d", phase="final", extra=False, server_round=1, context=(), query=query,
        reference=reference, reply="x", cloud_reply=None, intent=None, form_id=None, similarity=score, relevance=score,
        cloud_relevance=None, final_score=score, relevance_trusted=None, accepted=None, facts=tuple(facts), chrf=chrf,
        verbatim=verbatim, nll_nats=nll, label_tokens=None, characters=None if nll is None else 10,
        signals=None, confidence=None,
    )  # fmt: skip


def dialogues(rows):
    """Each row a dialogue of its own, under seed 0."""
    return [(0, replace(of, session_id=f"d{place}")) for place, of in enumerate(rows)]


def keyed(rows):
    return {(0, "s", f"p{place}"): of for place, (_, of) in enumerate(dialogues(rows))}


def test_a_query_is_right_only_if_all_its_facts_of_that_scope_are():
    rows = [
        row(fact(), fact()),
        row(fact(), fact(right=False)),
        row(fact(), fact(right=False, scope="platform")),
        row(fact(competing=["圆通"])),
        row(),
    ]
    found = means(rows)
    assert found["fact_accuracy"] == 2 / 4
    assert found["platform_fact_accuracy"] == 0
    assert found["unseen_fact_accuracy"] is None
    assert [all_right(r) for r in rows] == [True, False, False, False, None]


def test_seen_and_unseen_facts_are_reported_apart():
    rows = [row(fact(), fact(right=False, seen=False)), row(fact(right=False, seen=False)), row(fact(seen=False))]
    found = means(rows)
    assert found["fact_accuracy"] == 1
    assert found["unseen_fact_accuracy"] == pytest.approx(1 / 3)


def test_other_shop_share_counts_wrong_answers_on_shop_facts_only():
    rows = [
        row(fact()),
        row(fact(right=False, other=["shop_02"])),
        row(fact(right=False)),
        row(fact(right=False, scope="platform", other=["shop_02"])),
        # Stated, but beside a competing value that is another shop's.
        row(fact(competing=["圆通"], other=["shop_03"])),
    ]
    estimate = estimate_all(dialogues(rows), seed=0)["other_shop_share"]
    assert estimate.mean == pytest.approx(2 / 3)
    assert estimate.n == 3
    assert means([row(fact())])["other_shop_share"] is None


def test_perplexity_pools_nats_and_characters():
    rows = [row(nll=20.0), row(nll=40.0), row()]
    estimate = estimate_all(dialogues(rows), seed=0)["perplexity"]
    assert estimate.mean == pytest.approx(math.exp(60 / 20))
    assert math.exp(2) <= estimate.low <= estimate.mean <= estimate.high <= math.exp(4) + 1e-9
    assert means(rows)["perplexity"] == pytest.approx(math.exp(3))


def test_what_was_not_judged_takes_no_part():
    found = means([row(score=0.4), row(), row(score=0.8)])
    assert found["final_score"] == pytest.approx(0.6)
    assert means([])["final_score"] is None
    assert set(means([])) == set(BY_NAME)


def test_means_equal_estimates():
    rows = [row(fact(right=i % 3 > 0), score=i / 10, nll=float(i), chrf=i, verbatim=i % 2 == 0) for i in range(10)]
    found, estimates = means(rows), estimate_all(dialogues(rows), seed=1)
    for name, estimate in estimates.items():
        assert found[name] == pytest.approx(estimate.mean) if estimate else found[name] is None


def test_comparison_pairs_like_queries_only():
    left = keyed([row(score=0.9), row(score=0.5), row(score=0.1, query="other"), row(score=0.3), row(score=0.2)])
    right = keyed([row(score=0.4), row(), row(score=0.1), row(score=0.3, reference="other")])
    found = compare(left, right, seed=0)
    assert found.differences["final_score"].mean == pytest.approx(0.5)
    assert found.differences["final_score"].n == 1
    assert found.differences["fact_accuracy"] is None
    assert found.unpaired == 3


def test_comparison_with_itself_is_zero_and_empty_is_none():
    rows = keyed([row(fact(right=i % 2 == 0), score=i / 9, nll=i + 1.0) for i in range(10)])
    same = compare(rows, rows, seed=0).differences
    for name in ("final_score", "fact_accuracy", "perplexity"):
        assert (same[name].mean, same[name].low, same[name].high) == (0, 0, 0)
    empty = compare({}, rows, seed=0)
    assert all(value is None for value in empty.differences.values())
