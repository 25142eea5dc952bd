"""A file format of the user's own: one class and one YAML file, nothing edited here."""

from pathlib import Path

import pytest

from ecc_fed.assembly.build import build_corpus
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.core.errors import CorpusError
from ecc_fed.core.protocols import Corpus
from tests.corpus.dialogue_files import exchange, jsonl_text, written

CLASSES = ("ArrowCorpus", "PlainArrowCorpus")
EXPECTED = {"ArrowCorpus": "a line is `customer > agent", "PlainArrowCorpus": "the arrows format"}


def own_corpus(folder: Path, name: str, text: str | bytes | None) -> Corpus:
    """The corpus that `ecc-fed run --config-dir my_conf corpus=mine corpus.path=FILE` builds."""
    path = folder / "missing.txt" if text is None else written(folder, text)
    (folder / "my_conf" / "corpus").mkdir(parents=True)
    (folder / "my_conf" / "corpus" / "mine.yaml").write_text(
        f"_target_: tests.corpus.formats.own_format.{name}\npath: ???\nnum_shops: 2\n", encoding="utf-8"
    )
    composed = compose_run(["corpus=mine", f"corpus.path={path}", "partition=iid"], [str(folder / "my_conf")])
    return build_corpus(to_run_config(composed, ["tests"]))


@pytest.mark.parametrize("name", CLASSES)
def test_its_dialogues_become_shops(tmp_path: Path, name: str) -> None:
    lines = [" > ".join([*exchange(i), *exchange(i, 1)]) for i in range(30)]
    corpus = own_corpus(tmp_path, name, "\n".join([*lines, "a line without one"]))
    assert corpus.shop_ids() == ("shop-000", "shop-001")
    shops = [corpus.shop(shop_id) for shop_id in corpus.shop_ids()]
    pairs = [(p.query, p.reply) for shop in shops for p in (*shop.history, *shop.stream, *shop.test)]
    assert sorted(pairs) == sorted(exchange(i, k) for i in range(30) for k in range(2))
    report = corpus.report()
    assert (report.format, report.lines.read, report.lines.dropped) == ("arrows", 31, {"broken": 1})
    assert [(line.number, line.reason) for line in report.broken_lines] == [(31, "no arrow")]


@pytest.mark.parametrize(
    ("name", "expected"), zip(CLASSES, ("a line is `customer > agent", "the arrows format"), strict=True)
)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "does not exist"),
        ("", "is empty"),
        ("\n\n", "is empty: no line to read"),
        (b"\x00\x01", "is a binary file"),
        ("no arrows\nanywhere\n", "is not in the ARROWS format: 2 of its first 2 lines are broken"),
        (jsonl_text(5), "It looks like JSONL: use corpus=jsonl"),
    ],
)
def test_a_file_that_is_not_of_it_is_refused_with_what_was_expected(
    tmp_path: Path, name: str, expected: str, text: str | bytes | None, said: str
) -> None:
    with pytest.raises(CorpusError) as caught:
        own_corpus(tmp_path, name, text).shop_ids()
    assert said in str(caught.value) and expected in str(caught.value)
