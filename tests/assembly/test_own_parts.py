"""A user's own parts, one class and one YAML file each, take their places; nothing of the package is edited."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecc_fed.assembly.build import build_cloud, build_corpus, build_judge
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.federation import build_plan
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.assembly.targets import instantiate
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.protocols import Aggregator, Arm
from ecc_fed.core.records import OrderRecord, TeacherRequest, Turn
from ecc_fed.core.run_directory import RunDirectory, read_json, read_jsonl
from ecc_fed.core.seeding import derive_seed
from ecc_fed.end_model.adapters.files import load_adapter
from ecc_fed.evolution.shop_state import load_state
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.runs.simulation import simulate
from tests.own_parts.cloud import Greeter
from tests.own_parts.judging import WantsPoliteness

CONF = str(Path(__file__).parent.parent / "own_parts" / "conf")
OWN = ["teacher=own", "redaction=own", "corpus=own", "partition=own", "judge=own", "feedback=own"]
PHONE = "13800000000"


def config(*overrides: str) -> RunConfig:
    return to_run_config(compose_run([*OWN, *overrides], [CONF]), ["tests.own_parts"])


def test_an_own_teacher_and_redactor_stand_behind_the_gateway() -> None:
    cloud = build_cloud(config("teacher.greeting='嗨，'"))
    ask = TeacherRequest("stall-0", (Turn("customer", f"我的电话是{PHONE}"),), (), "judge", OrderRecord(phone=PHONE))
    (reply,) = cloud.gateway.answer([ask])
    assert reply.text == f"嗨，我的电话是{PHONE}"
    assert isinstance(cloud.teacher, Greeter)
    (heard,) = cloud.teacher.heard
    assert PHONE not in heard and "我的电话是[phone]" in heard
    assert cloud.teacher.decoding["seed"] == derive_seed(0, "teacher")
    assert {entry.redaction for entry in cloud.ledger.entries()} == {"hide-phone"}


@pytest.mark.parametrize(
    ("overrides", "placeholder"),
    [
        ((), "[电话1]"),
        (("gateway.language=en",), "[phone1]"),
        (("gateway.language=en", "redaction.language=zh"), "[电话1]"),
    ],
)
def test_placeholders_are_in_the_language_of_the_prompts(overrides: Sequence[str], placeholder: str) -> None:
    cloud = build_cloud(config("redaction=order_record", *overrides))
    ask = TeacherRequest("stall-0", (Turn("customer", f"我的电话是{PHONE}"),), (), "judge", OrderRecord(phone=PHONE))
    (reply,) = cloud.gateway.answer([ask])
    (heard,) = cloud.teacher.heard  # type: ignore[attr-defined]
    assert f"我的电话是{placeholder}" in heard and PHONE not in heard
    assert reply.text is not None and reply.text.endswith(f"我的电话是{PHONE}")
    assert cloud.redaction == "order_record"


def test_a_whole_run_counts_what_it_redacted(tmp_path: Path) -> None:
    small = ["evolution.server_rounds=1", "finetune.steps=1", "decoding.max_new_tokens=4", "redaction=order_record"]
    small += ["corpus=simulator", "corpus.num_shops=1", "corpus.pairs_per_shop=120", "corpus.test_pairs_per_shop=4"]
    directory = RunDirectory(tmp_path)
    simulate(config(*small), directory, InProcessHosts(), lambda stage, done, total: None)
    told = read_json(directory.run)
    rows = read_jsonl(directory.metrics)
    assert told["privacy"]["redaction"] == "order_record"
    counted = told["cloud"]["stream"]["redaction"]
    assert sum(counted["values"].values()) > 0 and counted["example_values"] > 0 and counted["restored"] > 0
    assert counted["restored"] == sum(row["redaction"]["restored"] for row in rows)
    assert {row["redaction"] for row in read_jsonl(directory.egress) if row["destination"] == "cloud_teacher"} == {
        "order_record"
    }


def test_an_own_corpus_takes_an_own_partition() -> None:
    corpus = build_corpus(config("corpus.num_shops=3"))
    assert corpus.shop_ids() == ("stall-0", "stall-1", "stall-2")
    shop = corpus.shop("stall-1")
    assert [pair.session_id for pair in (*shop.history, *shop.stream, *shop.test)] == [f"s{i}" for i in range(1, 24, 3)]


def test_own_models_judge_and_an_own_customer_gives_feedback() -> None:
    given = config("judge.score_alpha=0.25")
    (judgement,) = build_judge(given).judge(["多少钱"], ["12元"], ["12块"])
    assert (judgement.similarity, judgement.relevance) == (0.5, 1.0)
    assert judgement.final_score == pytest.approx(0.25 * 0.5 + 0.75 * 1.0)
    feedback = instantiate(given.feedback, "feedback")
    assert isinstance(feedback, WantsPoliteness) and feedback.openings == ("您好", "亲")


def test_a_whole_run_of_own_parts(tmp_path: Path) -> None:
    small = ["evolution.server_rounds=1", "finetune.steps=1", "decoding.max_new_tokens=4"]
    directory = RunDirectory(tmp_path)
    simulate(config(*small), directory, InProcessHosts(), lambda stage, done, total: None)
    samples: list[dict[str, Any]] = read_jsonl(directory.samples)
    assert {row["shop_id"] for row in samples} == {"stall-0", "stall-1"}
    assert all(row["cloud_reply"] == f"您好，{row['query']}" for row in samples)
    assert {row["redaction"] for row in read_jsonl(directory.egress) if row["destination"] == "cloud_teacher"} == {
        "hide-phone"
    }
    assert read_json(directory.run)["teacher"] == "Greeter"


def test_an_own_way_of_answering_serves_every_reply_and_leaves_the_base_alone(tmp_path: Path) -> None:
    small = ["evolution.server_rounds=1", "finetune.steps=1", "decoding.max_new_tokens=4"]
    directory = RunDirectory(tmp_path)
    simulate(config("answering=own", *small), directory, InProcessHosts(), lambda stage, done, total: None)
    samples: list[dict[str, Any]] = read_jsonl(directory.samples)
    replies = {phase: [row["reply"] for row in samples if row["phase"] == phase] for phase in ("base", "final")}
    assert not any(reply.startswith("又来了，") for reply in replies["base"])
    assert all(reply.startswith("又来了，") for reply in replies["final"])


def test_an_arm_that_does_not_tell_of_itself_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Mentions is no Arm"):
        instantiate({"_target_": "tests.own_parts.judging.Mentions", "word": "x"}, "arm", Arm)
    with pytest.raises(ConfigError, match=r"strategy\._target_=.*Untold is no Aggregator: it has no attribute mixed"):
        instantiate({"_target_": "tests.own_parts.federation.Untold"}, "strategy", Aggregator)


def test_an_own_arm_aggregator_and_transform_set_who_sends_what_when(tmp_path: Path) -> None:
    own = ["arm=own", "strategy=own", "update=own", "evolution.server_rounds=2", "finetune.steps=1"]
    directory = RunDirectory(tmp_path)
    given = config(*own, "decoding.max_new_tokens=4", "corpus.num_shops=3")
    simulate(given, directory, InProcessHosts(), lambda stage, done, total: None)
    run = read_json(directory.run)
    assert run["arm"] == "meet_every"
    ups = [row for row in read_jsonl(directory.egress) if (row["kind"], row["direction"]) == ("adapter", "up")]
    assert [(row["shop_id"], row["server_round"]) for row in ups] == [(shop, 2) for shop in run["shops"]]
    # Round 2 began from each shop's own adapter after round 1; half of what it learned in it went up.
    first, second = ([load_state(directory.shop(shop), n).adapter for shop in run["shops"]] for n in (1, 2))
    sent = [{name: a[name] + 0.5 * (b[name] - a[name]) for name in a} for a, b in zip(first, second, strict=True)]
    for name, held in load_adapter(directory.aggregate)[0].items():
        assert np.allclose(held, np.median([update[name] for update in sent], axis=0), atol=1e-7)


def test_an_own_agreement_makes_one_reply_of_many_for_a_corpus_that_has_a_file_of_queries(tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_text('{"query": "在吗"}\n{"query": "包邮吗"}\n', encoding="utf-8")
    own = ["arm=own_distilled", f"arm.queries.path={path}", "evolution.server_rounds=2", "finetune.steps=1"]
    directory = RunDirectory(tmp_path / "run")
    simulate(config(*own, "decoding.max_new_tokens=4"), directory, InProcessHosts(), lambda stage, done, total: None)
    shops = read_json(directory.run)["shops"]
    said = [load_state(directory.shop(shop_id), 1).public_replies for shop_id in shops]
    agreed = read_jsonl(directory.agreed)
    assert [row["query"] for row in agreed] == ["在吗", "包邮吗"]
    assert [row["reply"] for row in agreed] == [f"{max(each, key=len)}。" for each in zip(*said, strict=True)]
    with pytest.raises(ConfigError, match=r"arm\.agreement\._target_=.*Median is no Agreement: it has no method agree"):
        instantiate(
            {
                "_target_": "ecc_fed.federation.arms.Distilled",
                "agreement": {"_target_": "tests.own_parts.federation.Median"},
            },
            "arm",
            Arm,
            server_rounds=2,
        )


def test_a_transform_that_hides_single_updates_is_refused_beside_a_method_that_needs_them() -> None:
    with pytest.raises(ConfigError, match=r"Shrink shows the server sums of updates only.*Median"):
        build_plan(config("strategy=own", "update=own", "+update.shrink.sums_only=true"))
