"""Small files in the layouts that data sets are published in, with content of our own, read as conf/ sets them up."""

import json

import pytest

from ecc_fed.assembly.build import build_corpus
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.core.errors import CorpusError
from tests.corpus.dialogue_files import exchange, written


def corpus_of(path, name, *overrides):
    return build_corpus(
        to_run_config(compose_run([f"corpus={name}", f"corpus.path='{path}'", "corpus.num_shops=2", *overrides]))
    )


def quoted(*cells):
    return ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)


@pytest.mark.parametrize(
    "header", ["flags,instruction,category,intent,response", "instruction,intent,category,tags,response"]
)
def test_bitext(tmp_path, header):
    values = {"flags": "BQ", "tags": "BQ", "intent": "track_order"}
    lines = [header]
    for i in range(40):
        query, reply = exchange(i)
        values |= {
            "instruction": f"{query} {{{{Order Number}}}}",
            "response": f"{reply}\n\n1. 第一步",
            "category": ("ORDER", "SHIPPING")[i % 2],
        }
        lines.append(quoted(*(values[name] for name in header.split(","))))
    path = written(tmp_path, "\n".join(lines), "bitext.csv")
    corpus = corpus_of(path, "bitext")
    assert corpus.report().sessions.kept == 40
    assert corpus.shop_ids() == ("shop-000", "shop-001")
    by_category = corpus_of(path, "bitext", "corpus.columns.shop=category")
    assert by_category.shop_ids() == ("ORDER", "SHIPPING")
    pair = by_category.shops()[0].test[0]
    assert "{{Order Number}}" in pair.query and pair.reply.endswith("1. 第一步")


def conversation(i):
    query, reply = exchange(i)
    original = [
        ["agent", f"Hi {i}!"],
        ["customer", query],
        ["action", "Account has been pulled up for A B."],
        ["agent", reply],
    ]
    delexed = [
        {"speaker": who, "text": text.lower(), "turn_count": k, "targets": ["", None, None, [], -1], "candidates": []}
        for k, (who, text) in enumerate(original, start=1)
    ]
    scenario = {"personal": {"customer_name": "a b"}, "flow": ("storewide_query", "order_issue")[i % 2], "subflow": "x"}
    return {"convo_id": 3000 + i, "scenario": scenario, "original": original, "delexed": delexed}


@pytest.mark.parametrize("turns", ["original", "delexed"])
@pytest.mark.parametrize("indent", [None, 1])
def test_abcd(tmp_path, turns, indent):
    whole = {"train": [conversation(i) for i in range(30)], "dev": [conversation(30)], "test": [conversation(31)]}
    path = written(tmp_path, json.dumps(whole, indent=indent), "abcd_v1.1.json")
    corpus = corpus_of(path, "abcd", f"corpus.columns.turns={turns}")
    report = corpus.report()
    assert (report.sessions.kept, report.edits["tool_turn"], report.pairs.read) == (32, 32, 32)
    assert {pair.session_id for shop in corpus.shops() for pair in shop.test} <= {str(3000 + i) for i in range(32)}
    flows = corpus_of(path, "abcd", f"corpus.columns.turns={turns}", "corpus.columns.shop=scenario.flow")
    assert flows.shop_ids() == ("order_issue", "storewide_query")


def test_csconv(tmp_path):
    records = [
        {
            "dialogue": [
                {"speaker": "客户", "text": query},
                {"speaker": "客服", "text": reply, "strategy": "策略6 提供建议"},
            ]
        }
        for query, reply in (exchange(i) for i in range(40))
    ]
    path = written(tmp_path, json.dumps(records, ensure_ascii=False, indent=2), "CSConv.json")
    corpus = corpus_of(path, "csconv")
    assert corpus.report().sessions.kept == 40 and corpus.spoken == "zh"


@pytest.mark.parametrize("name", ["bitext", "abcd", "csconv", "twcs", "csv", "jsonl"])
def test_a_file_of_another_kind_is_refused(tmp_path, name):
    path = written(tmp_path, "nothing of the kind\n" * 5)
    with pytest.raises(CorpusError, match=r"corpus file .*corpus.txt"):
        corpus_of(path, name).report()
