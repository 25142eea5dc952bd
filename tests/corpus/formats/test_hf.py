import builtins
import json

import pytest

from ecc_fed.core.errors import CorpusError
from ecc_fed.corpus.formats.hf import HfCorpus
from ecc_fed.corpus.partition.auto import AutoPartition
from tests.corpus.dialogue_files import exchange


@pytest.fixture
def datasets(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = pytest.importorskip("datasets")
    monkeypatch.setattr(found.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(found.config, "HF_HUB_OFFLINE", True)
    return found


def rows(count=40):
    return [
        dict(zip(("query", "reply"), exchange(i), strict=True)) | {"store": f"店{i % 2}", "n": i} for i in range(count)
    ]


def corpus_of(path, **settings):
    return HfCorpus(path=str(path), partition=AutoPartition(), num_shops=2, **settings)


def save(datasets, folder, kind):
    table = datasets.Dataset.from_list(rows())
    if kind == "saved":
        table.save_to_disk(folder)
    elif kind == "saved splits":
        datasets.DatasetDict({"train": table, "test": table.select(range(3))}).save_to_disk(folder)
    else:
        folder.mkdir()
        if kind == "parquet":
            table.to_parquet(folder / "train-00000-of-00001.parquet")
        elif kind == "jsonl":
            table.to_json(folder / "train.jsonl")
        else:
            table.to_csv(folder / "train.csv")


@pytest.mark.parametrize("kind", ["saved", "saved splits", "parquet", "jsonl", "csv"])
def test_a_folder_is_read_without_the_network(datasets, tmp_path, kind):
    save(datasets, tmp_path / "set", kind)
    corpus = corpus_of(tmp_path / "set", columns={"shop": "store"})
    sessions, report = corpus.read()
    assert [tuple(turn.text for turn in session.turns) for session in sessions] == [exchange(i) for i in range(40)]
    assert corpus.shop_ids() == ("店0", "店1")
    assert any(note.startswith('40 records read as question and answer: "query" and "reply"') for note in report.notes)


def test_lists_of_messages_are_read(datasets, tmp_path):
    records = [
        {
            "messages": [
                {"role": role, "content": text} for role, text in zip(("user", "assistant"), exchange(i), strict=True)
            ]
        }
        for i in range(20)
    ]
    datasets.Dataset.from_list(records).save_to_disk(tmp_path / "set")
    sessions, _ = corpus_of(tmp_path / "set").read()
    assert [tuple(turn.text for turn in session.turns) for session in sessions] == [exchange(i) for i in range(20)]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"split": "dev"}, "has no split 'dev'; it has train, test. Set corpus.split"),
        ({"columns": {"shop": "brand"}}, "has no column 'brand' for corpus.columns.shop. Its columns: 'query'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(datasets, tmp_path, settings, said):
    save(datasets, tmp_path / "set", "saved splits")
    with pytest.raises(CorpusError, match=said):
        corpus_of(tmp_path / "set", **settings).read()


def test_a_split_that_a_folder_of_files_lacks_is_refused(datasets, tmp_path):
    save(datasets, tmp_path / "set", "jsonl")
    with pytest.raises(CorpusError, match=r"a folder, cannot be read with corpus\.split=dev"):
        corpus_of(tmp_path / "set", split="dev").read()


def test_an_id_of_the_hub_needs_the_network_and_says_so(datasets, tmp_path):
    with pytest.raises(CorpusError, match=r"an id of the hub .there is no such folder.*needs the network"):
        corpus_of("nobody/no-such-set").read()


def test_a_file_or_an_empty_folder_is_refused(datasets, tmp_path):
    (tmp_path / "own.jsonl").write_text(json.dumps(rows(1)[0]))
    with pytest.raises(CorpusError, match="is a file; corpus=hf reads folders"):
        corpus_of(tmp_path / "own.jsonl").read()
    with pytest.raises(CorpusError, match="is a file"):
        HfCorpus.check_path(str(tmp_path / "own.jsonl"))
    HfCorpus.check_path(str(tmp_path))
    HfCorpus.check_path("owner/name")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="a folder, cannot be read"):
        corpus_of(tmp_path / "empty").read()


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    usual = builtins.__import__

    def without(name, *rest):
        if name == "datasets":
            raise ImportError(name)
        return usual(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CorpusError, match=r"needs the `datasets` library.*pip install 'ecc-fed\[datasets\]'"):
        corpus_of(tmp_path).read()
