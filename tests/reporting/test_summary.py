"""`summary.json` keeps its schema, its sums and its bytes."""

import json
import math
import random

import pytest

from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.core.rows import FailureRow
from ecc_fed.core.run_directory import read_json, read_jsonl, write_json, write_jsonl
from ecc_fed.reporting.run import load_run
from ecc_fed.reporting.summary import summarise, write_summary

METRICS = {
    "final_score", "similarity", "relevance", "fact_accuracy", "unseen_fact_accuracy", "platform_fact_accuracy", "chrf",
    "perplexity", "verbatim_share", "other_shop_share",
}  # fmt: skip


def test_schema(make_run):
    run = make_run("run", "aggregated", seed=3)
    summary = summarise(run)
    assert summary["schema"] == 5
    assert (summary["arm"], summary["seed"], summary["server_rounds"], summary["cycles"]) == ("aggregated", 3, 4, 1)
    assert summary["shops"] == ["shop_00", "shop_01", "shop_02", "shop_03"]
    assert set(summary["evaluation"]) == {"base", "final", "teacher", "human"}
    for name in ("base", "final"):
        phase = summary["evaluation"][name]
        assert set(phase) == METRICS
        for metric in phase.values():
            assert set(metric) == {"mean", "ci95", "shops", "dialogues", "per_shop"}
            assert metric["ci95"][0] <= metric["mean"] <= metric["ci95"][1]
            assert set(metric["per_shop"]) <= set(summary["shops"])
    assert set(summary["serving"]) == {"escalation_rate", "mean_score"}
    assert [len(of) for of in summary["serving"].values()] == [4, 4]
    assert set(summary["teacher"]) == {"requests", "cached", "failed", "input_tokens", "output_tokens", "cost_usd"}
    assert set(summary["runtime"]) == {
        "wall_seconds", "client_steps", "client_steps_per_second", "hosts", "shops_per_batch", "batch_reason",
        "service_seconds", "base_loads", "peak_rss_bytes", "peak_gpu_bytes", "pass_tokens",
    }  # fmt: skip
    assert set(summary["privacy"]) == {
        "redaction", "epsilon", "delta", "secagg", "attacks", "shop_epsilon", "shop_delta",
    }  # fmt: skip
    assert summary["versions"]["torch"] == "2.13.0"
    json.dumps(summary, allow_nan=False)


def test_the_teachers_and_the_human_agents_replies_stand_beside_the_shops(make_run):
    evaluation = summarise(make_run("run", others=True))["evaluation"]
    teacher, human = evaluation["teacher"], evaluation["human"]
    assert (teacher["final_score"], teacher["perplexity"], human["chrf"]) == (None, None, None)
    assert teacher["fact_accuracy"]["mean"] == human["fact_accuracy"]["mean"] == 1
    assert human["final_score"]["mean"] == 0.65
    assert evaluation["final"] == summarise(make_run("alone"))["evaluation"]["final"], (
        "they move no figure of the shops'"
    )
    nobody = summarise(make_run("older"))["evaluation"]
    assert set(nobody["teacher"].values()) == set(nobody["human"].values()) == {None}


def test_sums(make_run):
    summary = summarise(make_run("run", "aggregated", shops=2, rounds=3))
    assert summary["teacher"] == {
        "requests": 240, "cached": 0, "failed": 0, "input_tokens": 24000, "output_tokens": 4800, "cost_usd": 0.12,
    }  # fmt: skip
    assert summary["traffic"] == {
        "adapter_up_bytes": 6 * 310000, "adapter_down_bytes": 6 * 310000, "teacher_up_bytes": 6 * 94000,
        "teacher_down_bytes": 6 * 2400, "evaluation_up_bytes": 6 * 1000, "evaluation_down_bytes": 6 * 500,
        "replies_up_bytes": 0, "replies_down_bytes": 0,
    }  # fmt: skip


def test_serving_is_weighted_by_queries(make_run):
    run = make_run("run", shops=2, rounds=1)
    rows = read_jsonl(run / "metrics.jsonl")
    rows[0] |= {"served": 30, "escalated": 15, "mean_score": 0.2}
    rows[1] |= {"served": 10, "escalated": 0, "mean_score": 0.6}
    extra = rows[0] | {"server_round": 2, "served": 0, "escalated": 0, "mean_score": None}
    other = rows[0] | {"server_round": 3, "split": "warm_start", "served": 5, "escalated": 5}
    write_jsonl(run / "metrics.jsonl", [*rows, extra, other])
    assert summarise(run)["serving"] == {"escalation_rate": [15 / 40, None], "mean_score": [0.3, None]}


def test_cycles_of_a_round_add_up(make_run):
    run = make_run("run", shops=1, rounds=1)
    row = read_jsonl(run / "metrics.jsonl")[0]
    first = row | {"cycle": 0, "served": 20, "escalated": 10, "mean_score": 0.4}
    write_jsonl(run / "metrics.jsonl", [first, row | {"cycle": 1, "served": 20, "escalated": 0, "mean_score": 0.8}])
    assert summarise(run)["serving"] == {"escalation_rate": [0.25], "mean_score": [0.6]}


def test_same_rows_in_any_order_give_the_same_bytes(make_run, tmp_path):
    first, second = make_run("a"), make_run("b")
    rows = read_jsonl(second / "samples.jsonl")
    random.Random(0).shuffle(rows)
    write_jsonl(second / "samples.jsonl", rows)
    assert write_summary(first).read_bytes() == write_summary(second).read_bytes()
    assert read_json(first / "summary.json") == summarise(first)


def test_another_seed_draws_otherwise(make_run):
    run = make_run("run")
    before = summarise(run)["evaluation"]["final"]["chrf"]
    write_json(run / "run.json", read_json(run / "run.json") | {"seed": 1})
    after = summarise(run)["evaluation"]["final"]["chrf"]
    assert after["mean"] == before["mean"]
    assert after["ci95"] != before["ci95"]


def test_a_corpus_without_facts_cloud_or_likelihoods_gives_nulls(make_run):
    summary = summarise(make_run("run", facts=False, judged=False, likelihood=False, platform_share=None))
    final = summary["evaluation"]["final"]
    for name in METRICS - {"chrf", "verbatim_share"}:
        assert final[name] is None, name
    assert final["chrf"]["mean"] > 0
    assert summary["judge_fact_correlation"] == {"base": None, "final": None, "both": None}
    assert summary["kneser_ney_perplexity"] is None
    assert summary["platform_share"] is None


def test_zero_rounds(make_run):
    summary = summarise(make_run("run", rounds=0))
    assert summary["serving"] == {"escalation_rate": [], "mean_score": []}
    assert summary["teacher"]["requests"] is None
    assert summary["traffic"]["teacher_up_bytes"] == 0


def test_missing_files_are_nulls_not_zeros(make_run):
    run = make_run("run")
    for name in ("samples.jsonl", "metrics.jsonl", "egress.jsonl"):
        (run / name).unlink()
    summary = summarise(run)
    assert set(summary["evaluation"]["final"].values()) == {None}
    assert set(summary["traffic"].values()) == {None}
    assert set(summary["teacher"].values()) == {None}


def test_one_query_has_no_interval(make_run):
    final = summarise(make_run("run", shops=1, queries=1))["evaluation"]["final"]
    assert final["chrf"]["ci95"] is None
    assert final["chrf"]["mean"] > 0


def test_judge_and_facts_point_the_same_way(make_run):
    found = summarise(make_run("run", "local", queries=60))["judge_fact_correlation"]
    assert found["final"]["pearson"] > 0.5
    assert found["final"]["spearman"] > 0.5
    assert found["final"]["ci95"][0] < found["final"]["pearson"] < found["final"]["ci95"][1]
    assert found["both"]["queries"] > found["final"]["queries"]


def test_kneser_ney_is_weighted_by_characters_on_a_log_scale(make_run):
    run = make_run("run", shops=2)
    rows = read_jsonl(run / "samples.jsonl")
    for row in rows:
        row["characters"] = 30 if row["shop_id"] == "shop_00" else 10
    write_jsonl(run / "samples.jsonl", rows)
    write_json(
        run / "run.json", read_json(run / "run.json") | {"kneser_ney_perplexity": {"shop_00": 16, "shop_01": 81}}
    )
    found = summarise(run)["kneser_ney_perplexity"]
    assert found["mean"] == pytest.approx(math.exp(0.75 * math.log(16) + 0.25 * math.log(81)), rel=1e-5)


def test_a_shop_that_failed_is_in_no_mean(make_run):
    run = make_run("run", failures=[FailureRow("shop_dropped", "host died", 2, "shop_01")])
    rows = [row for row in read_jsonl(run / "samples.jsonl") if row["shop_id"] != "shop_01"]
    write_jsonl(run / "samples.jsonl", rows)
    summary = summarise(run)
    assert "shop_01" not in summary["evaluation"]["final"]["chrf"]["per_shop"]
    assert summary["failures"] == [
        {"kind": "shop_dropped", "reason": "host died", "server_round": 2, "shop_id": "shop_01"}
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shop_id": None}, r"samples.jsonl, row 2: shop_id is None, not a text; repair the file or run it again"),
        ({"phase": "middle"}, r"row 2: phase is 'middle', not one of base, final"),
        ({"final_score": "high"}, r"row 2: final_score is 'high', not a number or null"),
        ({"final_score": True}, "final_score is True, not a number or null"),
        ({"facts": [{"key": "k"}]}, r"row 2: facts\[0\].kind is missing"),
        ({"facts": [3]}, r"facts\[0\] is 3, not an object"),
        ({"context": [{"role": "bot", "text": "x"}]}, r"context\[0\].role is 'bot', not one of customer, agent"),
        ({"mood": "good"}, r"row 2: mood is no key of it; it has shop_id, pair_id, session_id, phase"),
    ],
)
def test_a_wrong_row_is_named(make_run, change, message):
    run = make_run("run", shops=1, queries=3)
    rows = read_jsonl(run / "samples.jsonl")
    rows[1] |= change
    write_jsonl(run / "samples.jsonl", rows)
    with pytest.raises(RunDirectoryError, match=message):
        summarise(run)


def test_a_repeated_row_is_named(make_run):
    run = make_run("run", shops=1, queries=2)
    rows = read_jsonl(run / "samples.jsonl")
    write_jsonl(run / "samples.jsonl", [*rows, rows[0]])
    with pytest.raises(RunDirectoryError, match=r"row 5: .*stands here a second time"):
        summarise(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 5}, "run.json: schema 5, and this version reads schemas 1, 2, 3, 4; run it again"),
        ({"schema": None}, "schema None, and this version reads"),
        ({"schema": True}, "schema True, and this version reads"),
        ({"arm": None}, "run.json: arm is None, not a text"),
        ({"seed": "0"}, "seed is '0', not a whole number"),
        ({"aggregation": [{"relative_error": 0.1}]}, r"aggregation\[0\].server_round is missing"),
        ({"runtime": {"hours": 3}}, "runtime.hours is no key of it; it has wall_seconds"),
        (
            {"kneser_ney_perplexity": {"shop_00": "x"}},
            r"kneser_ney_perplexity\['shop_00'\] is 'x', not a number or null",
        ),
    ],
)
def test_a_wrong_run_file_is_named(make_run, change, message):
    run = make_run("run", shops=1, queries=1)
    write_json(run / "run.json", read_json(run / "run.json") | change)
    with pytest.raises(RunDirectoryError, match=message):
        summarise(run)


def test_no_run(tmp_path):
    with pytest.raises(RunDirectoryError, match=r"run.json is missing"):
        summarise(tmp_path)


def test_a_run_of_schema_1_gives_the_same_summary(make_run):
    run = make_run("run", shops=2)
    expected = summarise(run)
    info = read_json(run / "run.json")
    runtime = info["runtime"]
    runtime |= {"cohort": runtime.pop("shops_per_batch"), "cohort_reason": runtime.pop("batch_reason")}
    write_json(run / "run.json", info | {"schema": 1})
    samples = read_jsonl(run / "samples.jsonl")
    write_jsonl(run / "samples.jsonl", [{key: row[key] for key in row if key != "extra"} for row in samples])
    warm = {
        "server_round": 0, "cycle": 0, "shop_id": "shop_00", "split": "warm_start", "train_loss": 1.0, "steps": 5,
        "teacher_errors": [], "train_seconds": 1.0,
    }  # fmt: skip
    write_jsonl(run / "metrics.jsonl", [warm, *read_jsonl(run / "metrics.jsonl")])
    assert summarise(run) == expected
    assert load_run(run).info.schema == 1


@pytest.mark.parametrize(("name", "key"), [("samples", "extra"), ("metrics", "served"), ("egress", "kind")])
def test_a_row_of_this_version_has_every_key(make_run, name, key):
    run = make_run("run", shops=1, queries=1)
    rows = read_jsonl(run / f"{name}.jsonl")
    del rows[0][key]
    write_jsonl(run / f"{name}.jsonl", rows)
    with pytest.raises(RunDirectoryError, match=rf"{name}.jsonl, row 1: {key} is missing"):
        summarise(run)
