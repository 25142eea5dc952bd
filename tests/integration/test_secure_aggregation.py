"""A whole run on the embedded models whose server reads sums alone, against the same run in the clear."""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from ecc_fed.core.rows import RunInfo, UpdateRow, read_record, read_rows
from ecc_fed.core.run_directory import read_json, read_jsonl
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.privacy.secure_aggregation.session_file import FILE_NAME

from .test_runs import run

FEW = [
    "arm=aggregated",
    "corpus.num_shops=3",
    "corpus.pairs_per_shop=12",
    "corpus.test_pairs_per_shop=1",
    "evolution.server_rounds=1",
    "decoding.max_new_tokens=6",
]


def test_a_masked_run_ends_within_quantisation_of_the_plain_one(tmp_path: Path) -> None:
    hosts = InProcessHosts()
    plain = run(tmp_path / "plain", hosts, *FEW)
    secure = run(tmp_path / "secure", hosts, *FEW, "secure_aggregation=secagg_plus")
    ends = [load_file(each.aggregate / "adapter_model.safetensors") for each in (plain, secure)]
    step = 2 * 16.0 / (2**28 - 1)
    assert ends[0].keys() == ends[1].keys()
    furthest = max(float(np.abs(ends[0][name] - ends[1][name]).max()) for name in ends[0])
    assert 0 < furthest <= step / 2 + 2**-23  # and fp32's own rounding of numbers up to 2
    infos = [read_record(each.run, RunInfo) for each in (plain, secure)]
    assert [info.privacy.secagg for info in infos] == [False, True]
    assert [read_json(each.summary)["privacy"]["secagg"] for each in (plain, secure)] == [False, True]
    assert not [failure for failure in infos[1].failures if failure.kind != "teacher_error"]
    # What the server knows of a shop, and what the researcher reads of it.
    counts = [[row.num_examples for row in read_rows(each.updates, UpdateRow)] for each in (plain, secure)]
    assert counts[0] == [8, 8, 8] and counts[1] == [None, None, None]
    assert [row["steps"] for row in read_jsonl(secure.metrics)] == [row["steps"] for row in read_jsonl(plain.metrics)]
    up = [
        entry
        for entry in read_jsonl(secure.egress)
        if entry["destination"] == "aggregator" and entry["direction"] == "up"
    ]
    assert {entry["kind"] for entry in up} == {"config", "secure_aggregation", "adapter", "envelope"}
    traffic = [read_json(each.summary)["traffic"]["adapter_up_bytes"] for each in (plain, secure)]
    assert 1.2 < traffic[1] / traffic[0] < 1.7  # five or six bytes a number in the place of four
    assert {read_json(each)["root"] for each in secure.shops.glob(f"*/{FILE_NAME}")} == {""}
