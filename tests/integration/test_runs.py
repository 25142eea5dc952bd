"""Whole runs on the embedded models, small: identities between arms, repeatability, every corpus format."""

import json
from pathlib import Path
from typing import Any

import pytest

from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.core.run_directory import RunDirectory, read_json, read_jsonl
from ecc_fed.evolution.shop_state import finished_rounds, load_state
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.reporting.report import report
from ecc_fed.reporting.summary import write_summary
from ecc_fed.runs.simulation import simulate

SMALL = [
    "corpus.num_shops=2",
    "corpus.pairs_per_shop=24",
    "corpus.test_pairs_per_shop=6",
    "evolution.server_rounds=2",
    "finetune.steps=2",
    "finetune.batch_size=4",
    "decoding.max_new_tokens=12",
]


@pytest.fixture(scope="module")
def hosts() -> InProcessHosts:
    return InProcessHosts()


def run(root: Path, hosts: InProcessHosts, *overrides: str, small: bool = True) -> RunDirectory:
    directory = RunDirectory(root)
    config = to_run_config(compose_run([*(SMALL if small else []), *overrides]))
    simulate(config, directory, hosts, lambda stage, done, total: None)
    write_summary(root)
    return directory


def summary(directory: RunDirectory) -> dict[str, Any]:
    return read_json(directory.summary)


def rows(directory: RunDirectory, phase: str) -> list[dict[str, Any]]:
    return [{**row, "phase": ""} for row in read_jsonl(directory.samples) if row["phase"] == phase]


def test_an_aggregated_run_of_one_shop_equals_local(tmp_path: Path, hosts: InProcessHosts) -> None:
    one = "corpus.num_shops=1"
    local = run(tmp_path / "local", hosts, "arm=local", one)
    aggregated = run(tmp_path / "aggregated", hosts, "arm=aggregated", one)
    assert rows(local, "final") == rows(aggregated, "final")
    shop_id = read_json(local.run)["shops"][0]
    states = [load_state(d.shop(shop_id), finished_rounds(d.shop(shop_id))[-1]) for d in (local, aggregated)]
    assert states[0].adapter.keys() == states[1].adapter.keys()
    assert all((states[0].adapter[name] == states[1].adapter[name]).all() for name in states[0].adapter)


def test_zero_rounds_equal_none_and_none_leaves_the_base(tmp_path: Path, hosts: InProcessHosts) -> None:
    none = run(tmp_path / "none", hosts, "arm=none")
    zero = run(tmp_path / "zero", hosts, "arm=local", "evolution.server_rounds=0")
    assert rows(none, "base") == rows(none, "final") == rows(zero, "final")
    assert summary(none)["teacher"]["requests"] is None, "without a loop nobody asks the cloud"


def test_the_same_command_twice_gives_the_same_summary_but_for_times(tmp_path: Path, hosts: InProcessHosts) -> None:
    found = []
    for name in ("a", "b"):
        values = summary(run(tmp_path / name, hosts, "arm=personalized", "arm.personal_rounds=1"))
        values.pop("runtime")
        found.append(json.dumps(values, sort_keys=True))
    assert found[0] == found[1]


def test_another_seed_is_another_world(tmp_path: Path, hosts: InProcessHosts) -> None:
    a, b = (run(tmp_path / str(seed), hosts, "arm=none", f"seed={seed}") for seed in (0, 1))
    assert [row["query"] for row in rows(a, "base")] != [row["query"] for row in rows(b, "base")]


def test_evolution_changes_replies_and_all_files_are_there(tmp_path: Path, hosts: InProcessHosts) -> None:
    directory = run(tmp_path, hosts, "arm=local", "finetune.steps=8")
    assert rows(directory, "base") != rows(directory, "final")
    page = report([directory.root])
    text = page.read_text(encoding="utf-8")
    assert "http://" not in text.replace("http://www.w3.org", "") and "src=" not in text
    values = summary(directory)
    assert values["evaluation"]["final"]["perplexity"]["mean"] < values["evaluation"]["base"]["perplexity"]["mean"]
    egress = read_jsonl(directory.egress)
    assert {entry["destination"] for entry in egress if entry["kind"] == "few_shot_examples"} == {"cloud_teacher"}
    assert not [entry for entry in egress if entry["kind"] == "adapter"], "a local shop hands no adapter to anyone"


def test_an_aggregated_run_hands_over_adapters_only(tmp_path: Path, hosts: InProcessHosts) -> None:
    directory = run(tmp_path, hosts, "arm=aggregated")
    kinds = {entry["kind"] for entry in read_jsonl(directory.egress) if entry["destination"] == "aggregator"}
    assert kinds <= {"adapter", "metrics", "config", "envelope"}
    assert len(summary(directory)["aggregation"]) == 2


ITEMS = [
    f"{a}{b}"
    for a, b in zip("苹香毛外水台书拖枕雨键耳茶饼面积帐花钢手", "果蕉衣套杯灯包鞋头伞盘机叶干膜木篷盆笔表", strict=True)
]
ASKS = (
    ("什么时候发货", "今天下午就发出"),
    ("有没有优惠活动", "收藏店铺立减五元"),
    ("能不能便宜一点", "已经是最低价格了"),
)
TALKS = [
    (f"请问{item}{ask}呢", f"亲，{item}{answer}哦，{other}也在做活动")
    for item, other in zip(ITEMS, reversed(ITEMS), strict=True)
    for ask, answer in ASKS
]


def spaced(text: str) -> str:
    return " ".join(text[i : i + 2] for i in range(0, len(text), 2))


ECD = "".join(
    f"{label}\t{spaced(query)}\t{spaced(reply)}\n"
    for i, (query, right) in enumerate(TALKS)
    for label, reply in ((1, right), (0, TALKS[i - 7][1]))
)
JDDC = "".join(
    f"s{i}\tu{i}\t0\t0\t0\tnan\t{query}\ns{i}\tu{i}\t1\t0\t0\tnan\t{reply}\n" for i, (query, reply) in enumerate(TALKS)
)
JSONL = "".join(
    json.dumps(
        {"shop": f"shop{i % 2}", "turns": [{"role": "customer", "text": query}, {"role": "agent", "text": reply}]},
        ensure_ascii=False,
    )
    + "\n"
    for i, (query, reply) in enumerate(TALKS)
)


@pytest.mark.parametrize(
    ("name", "text", "partition"), [("ecd", ECD, "iid"), ("jddc", JDDC, "topic"), ("jsonl", JSONL, "natural")]
)
def test_every_published_format_runs_end_to_end(
    name: str, text: str, partition: str, tmp_path: Path, hosts: InProcessHosts
) -> None:
    (tmp_path / "data").write_text(text, encoding="utf-8")
    given = [
        f"corpus={name}",
        f"corpus.path={tmp_path / 'data'}",
        f"partition={partition}",
        "corpus.num_shops=2",
        "evolution.server_rounds=1",
        "finetune.steps=2",
        "decoding.max_new_tokens=8",
    ]
    directory = run(tmp_path / "run", hosts, *given, small=False)
    values = summary(directory)
    assert values["evaluation"]["final"]["fact_accuracy"] is None, "nobody knows the facts of real dialogues"
    assert values["evaluation"]["final"]["final_score"]["mean"] >= 0
    assert values["kneser_ney_perplexity"]["mean"] > 1
