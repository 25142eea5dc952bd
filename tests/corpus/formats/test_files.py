import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecc_fed.core.errors import CorpusError
from ecc_fed.core.seeding import derive_rng
from ecc_fed.corpus.formats.ecd import EcdCorpus
from ecc_fed.corpus.formats.jddc import JddcCorpus
from ecc_fed.corpus.formats.jsonl import JsonlCorpus
from ecc_fed.corpus.pairs import collect_pairs
from ecc_fed.corpus.partition.iid import IidPartition
from ecc_fed.corpus.partition.natural import NaturalPartition
from ecc_fed.corpus.partition.quantity import QuantityPartition
from ecc_fed.corpus.partition.topic import TopicPartition
from ecc_fed.corpus.store import SessionWriter
from tests.corpus.dialogue_files import FORMATS, ecd_text, exchange, jddc_text, jsonl_text, written

KINDS = {"ecd": (EcdCorpus, ecd_text), "jddc": (JddcCorpus, jddc_text), "jsonl": (JsonlCorpus, jsonl_text)}


@pytest.fixture(params=KINDS)
def corpus(request, tmp_path):
    kind, text = KINDS[request.param]
    return kind(path=str(written(tmp_path, text(60, turns=3))), partition=IidPartition(), num_shops=4)


def splits_of(shop):
    return {"history": shop.history, "stream": shop.stream, "test": shop.test}


def balanced(report):
    steps = (report.lines, report.turns, report.sessions, report.placed, report.pairs)
    return all(step is not None and step.read == step.kept + sum(step.dropped.values()) for step in steps)


def test_shops_hold_every_pair_once_and_the_report_says_so(corpus):
    shops, report = corpus.shops(), corpus.report()
    assert [shop.shop_id for shop in shops] == [f"shop-{i:03d}" for i in range(4)]
    pairs = [pair for shop in shops for part in splits_of(shop).values() for pair in part]
    assert {(pair.query, pair.reply) for pair in pairs} == {exchange(i, k) for i in range(60) for k in range(3)}
    assert len({pair.pair_id for pair in pairs}) == len(pairs) == 180
    assert balanced(report)
    assert (report.sessions.read, report.sessions.kept, report.pairs.kept) == (60, 60, 180)
    for shop, count in zip(shops, report.shops, strict=True):
        assert count.sessions == 15
        for split, part in splits_of(shop).items():
            assert getattr(count, split).pairs == len(part)
            assert getattr(count, split).sessions == len({pair.session_id for pair in part})
    assert report.lengths["reply"].count == 180
    assert json.loads(json.dumps(report.as_dict()))["pairs"]["kept"] == 180


def test_one_shop_is_the_same_alone_and_no_other_is_paired(corpus, monkeypatch):
    paired = []

    def watched(sessions, shop_id, *rest):
        paired.append(shop_id)
        return collect_pairs(sessions, shop_id, *rest)

    monkeypatch.setattr("ecc_fed.corpus.formats.files.collect_pairs", watched)
    alone = replace(corpus)
    assert alone.shop_ids() == tuple(shop.shop_id for shop in corpus.shops())
    paired.clear()
    assert alone.shop("shop-002") == corpus.shops()[2]
    assert set(paired) == {"shop-002"}
    assert alone.truth("shop-002") == {}, "nobody knows what is true of real dialogues"
    assert all(pair.customer is None for pair in alone.shop("shop-002").stream), "and no order record lies beside them"
    with pytest.raises(CorpusError, match="has no shop shop-009 with this partition; it has shop-000, shop-001"):
        alone.shop("shop-009")


def test_no_session_straddles_a_split_and_test_comes_last(corpus):
    for shop in corpus.shops():
        sessions = [{pair.session_id for pair in part} for part in splits_of(shop).values()]
        assert sum(map(len, sessions)) == len(set.union(*sessions))
        times = [[pair.position for pair in part] for part in splits_of(shop).values()]
        assert max(times[0]) < min(times[1])
        assert max(times[1]) < min(times[2])


def test_lines_that_share_a_chat_share_a_split(tmp_path):
    """Growing contexts of one chat, each its own line, as in the published file."""
    lines = []
    for i in range(40):
        said = [text for k in range(4) for text in exchange(i, k)]
        lines += ["\t".join(["1", *said[:end]]) for end in (2, 4, 6, 8)]
    corpus = EcdCorpus(path=str(written(tmp_path, "\n".join(lines))), partition=IidPartition(), num_shops=2)
    where = {}
    for shop in corpus.shops():
        for split, part in splits_of(shop).items():
            for pair in part:
                chat = next(i for i in range(40) if pair.query in {exchange(i, k)[0] for k in range(4)})
                where.setdefault(chat, set()).add((shop.shop_id, split))
    assert all(len(places) == 1 for places in where.values())
    assert corpus.report().pairs.kept == 160


def test_a_file_gives_the_same_shops_whatever_the_hash_seed(tmp_path):
    path = written(tmp_path, jddc_text(40) + jddc_text(3).replace("s0000", "t0000"))
    script = (
        "from ecc_fed.corpus.formats.jddc import JddcCorpus;"
        "from ecc_fed.corpus.partition.topic import TopicPartition;"
        f"c = JddcCorpus(path={str(path)!r}, partition=TopicPartition(num_topics=3), num_shops=3,"
        "max_pairs_per_shop=12);"
        "print(c.shops(), c.report())"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert b"'duplicate': 3" in outputs[0]


def test_seeds_give_different_shops(corpus):
    assert replace(corpus, seed=1).shops() != corpus.shops()
    assert replace(corpus, seed=0).shops() == corpus.shops()


def test_caps_hold_and_cover_the_whole_time(corpus):
    capped = replace(corpus, max_pairs_per_shop=16, max_test_pairs_per_shop=4)
    whole = {shop.shop_id: shop for shop in corpus.shops()}
    for shop in capped.shops():
        assert (len(shop.history), len(shop.stream), len(shop.test)) == (6, 10, 4)
        for split, part in splits_of(shop).items():
            assert set(part) <= set(splits_of(whole[shop.shop_id])[split])
    report = capped.report()
    assert balanced(report)
    assert report.pairs.dropped == {"over_shop_cap": 180 - 4 * 20}


def test_which_dialogues_a_cap_lets_in_depends_on_seed_shop_and_split(tmp_path):
    path = written(tmp_path, jsonl_text(120, shops=2))
    corpus = JsonlCorpus(path=str(path), partition=NaturalPartition(), num_shops=2, max_pairs_per_shop=16)
    chosen = {}
    for seed in (0, 1):
        sessions, _ = replace(corpus, seed=seed).read()
        for shop in replace(corpus, seed=seed).shops():
            lines = [int(session.position) for session in sessions if session.shop_id == shop.description]
            for split, start, end in (("history", 0, 18), ("stream", 18, 48)):
                # Frozen: the sessions of a split in the order of its own stream, as many as fill the cap.
                order = derive_rng(seed, "cap", shop.shop_id, split).permutation(np.arange(start, end))
                pairs = getattr(shop, split)
                expected = sorted(lines[i] for i in order[: len(pairs) // 2])
                assert sorted({int(pair.position) for pair in pairs}) == expected
                chosen[seed, shop.shop_id, split] = [lines.index(line) for line in expected]
    assert len({tuple(places) for places in chosen.values()}) == len(chosen)


def test_natural_shops_of_a_users_file(tmp_path):
    path = written(tmp_path, jsonl_text(60, shops=3))
    corpus = JsonlCorpus(path=str(path), partition=NaturalPartition(), num_shops=2)
    shops = corpus.shops()
    assert [(shop.shop_id, shop.description) for shop in shops] == [("店_0", "店 0"), ("店_1", "店 1")]
    assert balanced(corpus.report())
    assert corpus.report().placed.dropped == {"shop_left_out": 20}
    assert any("1 smaller shops with 20 sessions left out" in note for note in corpus.report().notes)


def test_everything_dropped_is_counted_by_reason(tmp_path):
    row = "{}\tu\t{}\t0\t0\tnan\t{}\n"
    text = jddc_text(30)
    text += row.format("q1", 0, "在吗") + row.format("q1", 0, "有人吗")  # never answered
    text += row.format("q2", 1, "您好")  # nobody asked
    text += row.format("q3", 0, "我要转人工") + row.format(
        "q3", 1, "有什么问题我可以帮您处理或解决呢?"
    )  # notices alone
    text += jddc_text(1).replace("s00000", "q4")  # the first dialogue again
    text += row.format("s00003", 0, "又来了") + row.format("s00003", 1, "没有收到")  # goes on
    text += "broken\n\n"
    corpus = JddcCorpus(path=str(written(tmp_path, text)), partition=IidPartition(), num_shops=2)
    report = corpus.report()
    assert balanced(report)
    assert report.lines.dropped == {"broken": 1, "blank": 1}
    assert [line.number for line in report.broken_lines] == [132]
    assert report.sessions.dropped == {
        "no_answered_customer_turn": 1,
        "no_customer_turn": 2,
        "duplicate": 1,
    }
    assert report.sessions.kept == 30
    assert any(note.startswith("1 sessions have lines of others between theirs") for note in report.notes)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"num_shops": 61}, "corpus.num_shops=61 is more than the corpus has dialogues (60)"),
        ({"num_shops": 13}, "Ask for at most 12 shops"),
        ({"history_share": 0.8, "test_share": 0.2}, "corpus.history_share=0.8 and corpus.test_share=0.2"),
        ({"test_share": 0.0}, "0 < test_share"),
        ({"max_pairs_per_shop": 1}, "corpus.max_pairs_per_shop is 1"),
        ({"max_test_pairs_per_shop": 0}, "corpus.max_test_pairs_per_shop is 0"),
        ({"near_duplicate_similarity": 1.5}, "corpus.near_duplicate_similarity is 1.5"),
        ({"max_reply_tokens": 5}, "no stream pair left"),
        ({"path": "nowhere.txt"}, "nowhere.txt does not exist"),
    ],
)
def test_wrong_settings_are_refused_with_a_remedy(corpus, settings, said):
    with pytest.raises(CorpusError) as caught:
        replace(corpus, **settings).shops()
    assert said in str(caught.value)


def test_the_ends_of_the_ranges_are_allowed(corpus):
    allowed = {
        "max_pairs_per_shop": 2,
        "max_test_pairs_per_shop": 1,
        "near_duplicate_similarity": 1.0,
        "history_share": 0.0,
        "num_shops": 1,
    }
    for name, value in allowed.items():
        assert replace(corpus, **{name: value}).shops()
    for similarity in (0.0, -0.1, 1.1):
        with pytest.raises(CorpusError, match="near_duplicate_similarity"):
            replace(corpus, near_duplicate_similarity=similarity).shops()


def test_shops_too_small_to_split_are_refused_by_name(corpus):
    small = replace(corpus, partition=QuantityPartition(0.01, min_sessions=1))
    with pytest.raises(CorpusError, match=r"shop shop-00\d: \d sessions cannot be split into history.*min_sessions"):
        small.shops()


def test_a_file_without_an_answer_is_refused(tmp_path):
    path = written(tmp_path, "a\tu\t0\t0\t0\tnan\t在吗\nb\tu\t1\t0\t0\tnan\t在的\n")
    corpus = JddcCorpus(path=str(path), partition=IidPartition(), num_shops=1)
    with pytest.raises(CorpusError, match=r"holds no usable dialogue .*no_answered_customer_turn 1"):
        corpus.shops()


def test_the_report_says_what_the_order_has_to_do_with_time(corpus):
    assert corpus.report().order == corpus.order
    said = {name: kind.order for name, kind in FORMATS.items()}
    assert "taken for that of time" in said["jsonl"]
    assert "not known to be that of time: JDDC" in said["jddc"] and "not known to be that of time" in said["ecd"]
    assert len(set(said.values())) == 3


def test_topics_partition_a_file(corpus):
    topical = replace(corpus, partition=TopicPartition(num_topics=3, min_sessions=4))
    assert sum(len(part) for shop in topical.shops() for part in splits_of(shop).values()) == 180


def test_reading_leaves_no_file_behind(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(tmp_path.iterdir())
    sessions, _ = corpus.read()
    assert len(list(sessions)) == 60
    assert set(tmp_path.iterdir()) == before


def opened_by_the_agent(i, customer_turns):
    """Dialogue i, which the agent opens, as a line of JSON."""
    turns = [{"role": "agent", "text": f"今天是第{i}场特卖"}]
    for k in range(customer_turns):
        question, answer = exchange(i, k)
        turns += [{"role": "customer", "text": question}, {"role": "agent", "text": answer}]
    return {"turns": turns}


def test_sessions_that_the_agent_opens_give_a_pair_for_every_answer(tmp_path):
    dialogues = [opened_by_the_agent(i, customer_turns=2) for i in range(20)]
    for dialogue in dialogues[::2]:  # every other one ends with a customer whom nobody answers
        dialogue["turns"].append({"role": "customer", "text": "好的谢谢"})
    dialogues.append({"turns": dialogues[0]["turns"][:1]})  # nobody asked
    dialogues.append({"turns": [*dialogues[1]["turns"][:1], {"role": "customer", "text": "在不在呀"}]})
    path = written(tmp_path, "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in dialogues))
    corpus = JsonlCorpus(path=str(path), partition=IidPartition(), num_shops=2)
    shops, report = corpus.shops(), corpus.report()
    pairs = [pair for shop in shops for part in splits_of(shop).values() for pair in part]
    assert {(pair.query, pair.reply) for pair in pairs} == {exchange(i, k) for i in range(20) for k in range(2)}
    for pair in pairs:
        assert [turn.role for turn in pair.prompt] == ["agent", "customer", "agent", "customer"][-len(pair.prompt) :]
        assert pair.context[0].text.startswith("今天是第")
    assert report.sessions.dropped == {"no_customer_turn": 1, "no_answered_customer_turn": 1}
    assert (report.pairs.read, report.pairs.kept) == (40, 40)
    sessions, _ = corpus.read()
    assert sessions.answered.tolist() == [2] * 20
    assert {session.turns[0].role for session in sessions} == {"agent"}
    capped = replace(corpus, max_pairs_per_shop=8, max_test_pairs_per_shop=2)
    assert [(len(s.history), len(s.stream), len(s.test)) for s in capped.shops()] == [(3, 5, 2)] * 2


def test_another_answer_to_the_same_opening_and_question_is_another_session(tmp_path):
    lines = []
    for i in range(6):
        said = [("agent", "今天特价"), ("customer", "什么时候发货呀"), ("agent", exchange(i)[1])]
        lines.append(json.dumps({"turns": [{"role": role, "text": text} for role, text in said]}, ensure_ascii=False))
    path = written(tmp_path, "\n".join([*lines, lines[0]]))
    corpus = JsonlCorpus(
        path=str(path), partition=IidPartition(), num_shops=1, near_duplicate_similarity=None, history_share=0.0
    )
    sessions, report = corpus.read()
    assert [session.turns[2].text for session in sessions] == [exchange(i)[1] for i in range(6)]
    assert report.sessions.dropped == {"duplicate": 1}


def test_answered_turns_are_counted_from_the_first_customer_turn():
    writer = SessionWriter()
    turns = ["一", "二", "三", "四", "五", "六", "七"]
    for number in range(1, 8):
        writer.append(f"c{number}", "", number, False, turns[:number])
    for number in range(1, 8):
        writer.append(f"a{number}", "", number, True, turns[:number])
    assert writer.finish().answered.tolist() == [0, 1, 1, 2, 2, 3, 3, 0, 0, 1, 1, 2, 2, 3]


def test_the_store_gives_back_what_it_took():
    writer = SessionWriter()
    writer.append("s1", "", 3, False, ["在吗", "在的", "谢谢"])
    writer.append("s2", "甲 店", 7, True, ["您好", "发货了吗", "发了"])
    store = writer.finish()
    first, second = store
    assert (first.session_id, first.shop_id, first.position) == ("s1", None, 3.0)
    assert [(turn.role, turn.text) for turn in first.turns] == [
        ("customer", "在吗"),
        ("agent", "在的"),
        ("customer", "谢谢"),
    ]
    assert (second.shop_id, [turn.role for turn in second.turns]) == ("甲 店", ["agent", "customer", "agent"])
    assert store.answered.tolist() == [1, 1]
    assert store.text(1) == "您好\n发货了吗\n发了"
    assert [session.session_id for session in store[::-1]] == ["s2", "s1"]
    assert store[-1] == second


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full (Linux)")
def test_a_full_disk_is_told_with_a_remedy(monkeypatch):
    writer = SessionWriter()
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(writer, "_file", full)
        with pytest.raises(CorpusError, match=r"cannot keep the cleaned corpus in .*TMPDIR"):
            writer.append("s", "", 1, False, ["字", "好"])


def test_pairs_like_each_other_are_dropped_within_a_shop_only(tmp_path):
    lines = []
    for i in range(40):
        said = ["有 优惠 吗", "满 百 减 十", *exchange(i)]
        lines.append("\t".join(["1", *said]))
    corpus = EcdCorpus(path=str(written(tmp_path, "\n".join(lines))), partition=IidPartition(), num_shops=2)
    greetings = Counter(
        shop.shop_id
        for shop in corpus.shops()
        for part in splits_of(shop).values()
        for pair in part
        if pair.query == "有优惠吗"
    )
    assert greetings == {"shop-000": 1, "shop-001": 1}
    assert corpus.report().pairs.dropped == {"duplicate": 38}


def test_a_file_tells_its_language_from_all_its_parts_and_a_declared_one_wins(tmp_path):
    chinese = [[("customer", "在吗，发什么快递"), ("agent", f"在的亲，第{n}单发中通")] for n in range(30)]
    english = [
        [("customer", "Hello, is it in stock?"), ("agent", f"Yes, we have {n} of it for you")] for n in range(30)
    ]

    def corpus(dialogues, **settings):
        turns = [[{"role": role, "text": text} for role, text in dialogue] for dialogue in dialogues]
        text = "".join(json.dumps({"turns": each}, ensure_ascii=False) + "\n" for each in turns)
        given = {"partition": IidPartition(), "num_shops": 2, "near_duplicate_similarity": None, **settings}
        return JsonlCorpus(path=str(written(tmp_path, text)), **given)

    assert corpus(chinese).spoken == corpus(chinese).read()[1].language == "zh"
    assert corpus(english).spoken == "en"
    assert corpus([*chinese, *english]).spoken == "mixed"
    (said,) = [note for note in corpus([*chinese, *english]).read()[1].notes if "several languages" in note]
    assert "set corpus.language=CODE" in said
    assert not any("several languages" in note for note in corpus(chinese).read()[1].notes)
    assert corpus(chinese, language="ja").spoken == "ja"
    with pytest.raises(CorpusError, match=r"corpus\.language is 'Chinese'; give an ISO code"):
        corpus(chinese, language="Chinese").shop_ids()
