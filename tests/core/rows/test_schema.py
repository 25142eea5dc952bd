"""Older files read as today's, and what cannot be read is refused by name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.core.rows import FactRow, MetricRow, RunInfo, SampleRow, decode, encode
from ecc_fed.core.rows.run_info import Privacy, Runtime
from ecc_fed.core.rows.schema import SCHEMA, check_schema, lifts, read_run_info
from ecc_fed.core.run_directory import write_json

RUNTIME = Runtime(1.5, 3, 2.0, 1, 8, "the cap", {"reply": 0.5}, 1, 100, 0)
INFO = RunInfo(
    schema=SCHEMA,
    run_id="ab12",
    arm="local",
    seed=7,
    shops=("a", "b"),
    server_rounds=2,
    cycles=1,
    personal_rounds=0,
    shops_on_their_own=("a",),
    corpus="SimulatorCorpus",
    platform_share=0.2,
    language="zh",
    teacher="SimulatedTeacher",
    kneser_ney_perplexity={"a": 3.5, "b": None},
    runtime=RUNTIME,
    privacy=Privacy("none", None, None, False, {}),
    failures=(),
    aggregation=(),
    versions={"python": "3.11"},
)


def written(path: Path, info: dict[str, Any]) -> Path:
    write_json(path, info)
    return path


def test_a_run_of_today_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_run_info(written(tmp_path / "run.json", encode(INFO))) == INFO


def test_a_run_of_schema_1_names_its_batches_after_the_word_of_then(tmp_path: Path) -> None:
    old = encode(replace(INFO, schema=1))
    del old["run_id"]
    runtime = old["runtime"]
    runtime["cohort"], runtime["cohort_reason"] = runtime.pop("shops_per_batch"), runtime.pop("batch_reason")
    assert read_run_info(written(tmp_path / "run.json", old)) == replace(INFO, schema=1, run_id="")
    # A run of today that uses the old words is broken.
    with pytest.raises(RunDirectoryError, match=r"run\.json: runtime\.cohort is no key of it"):
        read_run_info(written(tmp_path / "run.json", old | {"schema": SCHEMA, "run_id": "ab12"}))
    with pytest.raises(RunDirectoryError, match=r"run\.json: runtime is 3, not an object"):
        read_run_info(written(tmp_path / "run.json", old | {"runtime": 3}))


def test_a_run_of_schema_2_has_no_id(tmp_path: Path) -> None:
    old = encode(replace(INFO, schema=2))
    del old["run_id"]
    assert read_run_info(written(tmp_path / "run.json", old)) == replace(INFO, schema=2, run_id="")
    with pytest.raises(RunDirectoryError, match=r"run\.json: run_id is missing"):
        read_run_info(written(tmp_path / "run.json", old | {"schema": SCHEMA}))


@pytest.mark.parametrize("schema", [1, 2, 3])
def test_what_a_weaker_character_model_said_is_not_taken_for_todays(tmp_path: Path, schema: int) -> None:
    old = encode(replace(INFO, schema=schema)) | {"bigram_perplexity": {"a": 7.0}}
    del old["kneser_ney_perplexity"]
    assert read_run_info(written(tmp_path / "run.json", old)).kneser_ney_perplexity == {}


@pytest.mark.parametrize("schema", [0, 5, None, "2", True, 2.0])
def test_a_run_of_another_schema_is_refused(tmp_path: Path, schema: object) -> None:
    path = written(tmp_path / "run.json", encode(INFO) | {"schema": schema})
    with pytest.raises(RunDirectoryError) as caught:
        read_run_info(path)
    assert str(caught.value) == (
        f"{path}: schema {schema!r}, and this version reads schemas 1, 2, 3, 4; run it again, or use the version that "
        "wrote it"
    )


def test_rows_of_schema_1_lack_what_came_later() -> None:
    assert lifts(SCHEMA) == {}
    old = lifts(1)
    assert set(old) == {SampleRow, MetricRow}
    assert old[SampleRow]({"pair_id": "p"})["extra"] is False
    assert old[SampleRow]({"pair_id": "p", "extra": True})["extra"] is True
    served = {"split": "stream", "served": 4}
    assert old[MetricRow](served) == served
    warm = old[MetricRow]({"split": "warm_start", "server_round": 0, "steps": 3, "cost_usd": 0.5})
    assert warm == {
        "split": "warm_start",
        "server_round": 0,
        "steps": 3,
        "served": 0,
        "escalated": 0,
        "unhappy": 0,
        "mean_score": None,
        "pseudo_labels": 0,
        "natural_pairs": 0,
        "teacher_requests": 0,
        "teacher_cached": 0,
        "teacher_failed": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "cost_usd": 0.5,
        "serve_seconds": 0.0,
    }


@pytest.mark.parametrize("schema", [1, 2, 3])
def test_samples_before_schema_4_are_a_dialogue_each_and_nobody_counted_what_was_taught(schema: int) -> None:
    fact = FactRow("courier", "courier", "shop", ("圆通",), True, True, (), (), None, None)
    today = SampleRow(
        shop_id="a", pair_id="a/0", session_id="a/0", phase="final", extra=False, server_round=1, context=(), query="q",
        reference="r", reply="x", cloud_reply=None, intent=None, form_id=None, similarity=None, relevance=None,
        cloud_relevance=None, final_score=None, relevance_trusted=None, accepted=None, facts=(fact,), chrf=None,
        verbatim=False, nll_nats=None, label_tokens=None, characters=None, signals=None, confidence=None,
    )  # fmt: skip
    row = encode(today)
    old = {key: value for key, value in row.items() if key not in ("session_id", "signals", "confidence")}
    del row["facts"][0]["taught"], row["facts"][0]["days_since_change"]
    assert decode(SampleRow, lifts(schema)[SampleRow](old), "samples.jsonl, row 1") == today
    for broken in ({**old, "facts": 3}, {**old, "facts": [3]}):
        with pytest.raises(RunDirectoryError, match="facts"):
            decode(SampleRow, lifts(schema)[SampleRow](broken), "samples.jsonl, row 1")


@pytest.mark.parametrize(
    ("schema", "age"),
    [
        (1, "an older"),
        (None, "an older"),
        ("2", "an older"),
        (2, "an older"),
        (3, "an older"),
        (5, "a newer"),
        (99, "a newer"),
    ],
)
def test_what_another_version_wrote_is_refused_where_todays_files_are_needed(schema: object, age: str) -> None:
    check_schema(SCHEMA, "x")
    with pytest.raises(RunDirectoryError) as caught:
        check_schema(schema, "the state in round_0001")
    assert str(caught.value) == (
        f"the state in round_0001 was written by {age} version (schema {schema}, this one writes 4); run it again"
    )


def test_a_rounds_aggregation_of_before_ranks_and_bytes_is_read(tmp_path: Path) -> None:
    old = encode(INFO) | {"aggregation": [{"server_round": 1, "relative_error": 0.5}]}
    (row,) = read_run_info(written(tmp_path / "run.json", old)).aggregation
    assert (row.relative_error, row.rank, row.ranks, row.bytes_up, row.bytes_down) == (0.5, None, {}, None, None)
