import hashlib

import pytest

from ecc_fed.corpus.formats.jddc import JddcCorpus
from ecc_fed.corpus.formats.jsonl import JsonlCorpus
from ecc_fed.corpus.formats.order import NameOrder
from ecc_fed.corpus.partition.iid import IidPartition
from tests.corpus.dialogue_files import jddc_text, jsonl_text, written

HASHES = sorted(hashlib.md5(bytes([i])).hexdigest() for i in range(20))


@pytest.mark.parametrize(
    ("names", "by_hash"),
    [
        (HASHES, True),
        (HASHES[::-1], False),
        (HASHES[:3], False),
        ([f"s{i:05d}" for i in range(20)], False),
        ([f"2024010112{i:04d}" for i in range(20)], False),
    ],
)
def test_sorted_hashes_are_no_time(names, by_hash):
    order = NameOrder()
    for name in names:
        order.add(name)
    assert order.by_hash is by_hash


def test_the_report_says_what_the_order_is(tmp_path):
    text = jddc_text(20)
    hashed = "".join(
        line.replace(f"s{i:05d}", name)
        for i, name in enumerate(HASHES)
        for line in text.splitlines(True)[4 * i : 4 * i + 4]
    )
    settings = {"partition": IidPartition(), "num_shops": 2}
    _, report = JddcCorpus(path=str(written(tmp_path, hashed)), **settings).read()
    assert "not that of time: the file is sorted by session numbers that are hashes" in report.order
    _, report = JddcCorpus(path=str(written(tmp_path, text)), **settings).read()
    assert "not known to be that of time" in report.order
    _, report = JsonlCorpus(path=str(written(tmp_path, jsonl_text(20))), **settings).read()
    assert "taken for that of time" in report.order
