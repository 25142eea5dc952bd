import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.core.records import EgressEntry
from ecc_fed.core.rows import decode, encode, read_rows, write_rows
from ecc_fed.privacy.ledger import (
    MemoryLedger,
)


def entry(shop_id="shop", num_bytes=10, **changes):
    fields = {"destination": "cloud_teacher", "direction": "up", "kind": "query", "details": {"attempt": 1}}
    return EgressEntry(**{"shop_id": shop_id, "server_round": 1, "num_bytes": num_bytes} | fields | changes)


ENTRIES = st.builds(
    EgressEntry,
    shop_id=st.text(),
    server_round=st.integers(0, 9),
    destination=st.sampled_from(["cloud_teacher", "aggregator"]),
    direction=st.sampled_from(["up", "down"]),
    kind=st.text(),
    num_bytes=st.integers(0, 2**40),
    redaction=st.text(),
    details=st.dictionaries(st.text(), st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)),
)


@given(st.lists(ENTRIES, max_size=5))
def test_what_is_written_is_read_again(tmp_path_factory, entries):
    path = tmp_path_factory.mktemp("ledger") / "egress.jsonl"
    write_rows(path, entries)
    assert read_rows(path, EgressEntry) == entries
    again = path.with_name("again.jsonl")
    write_rows(again, read_rows(path, EgressEntry))
    assert again.read_bytes() == path.read_bytes()


def test_draining_takes_one_shops_entries_in_order():
    ledger = MemoryLedger()
    entries = [entry(shop_id, number) for number, shop_id in enumerate("abab")]
    for item in entries:
        ledger.record(item)
    assert ledger.drain("a") == entries[0::2]
    assert ledger.drain("a") == []
    assert ledger.entries() == ledger.entries("b") == entries[1::2]


def test_threads_lose_nothing():
    ledger = MemoryLedger()
    drained = []

    def work(shop_id):
        for number in range(200):
            ledger.record(entry(shop_id, number))
            if number % 50 == 0:
                drained.extend(ledger.drain(shop_id))

    threads = [threading.Thread(target=work, args=(shop_id,)) for shop_id in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(drained) + len(ledger.entries()) == 800


def test_a_write_that_fails_leaves_the_old_ledger(tmp_path):
    path = tmp_path / "egress.jsonl"
    write_rows(path, [entry()])

    def breaking():
        yield entry(num_bytes=1)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write_rows(path, breaking())
    assert read_rows(path, EgressEntry) == [entry()]
    assert [file.name for file in tmp_path.iterdir()] == ["egress.jsonl"]


def test_an_unwritable_place_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match=r"egress\.jsonl"):
        write_rows(tmp_path / "file" / "egress.jsonl", [entry()])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"destination": "moon"}, "destination is 'moon', not one of cloud_teacher, aggregator"),
        ({"direction": "sideways"}, "direction is 'sideways', not one of up, down"),
        ({"num_bytes": -1}, "has num_bytes -1 and server_round 1: both count from 0"),
        ({"server_round": -1}, "has num_bytes 10 and server_round -1: both count from 0"),
        ({"kind": 3}, "kind is 3, not a text"),
        ({"redaction": ["none"]}, r"redaction is \['none'\], not a text"),
        ({"num_bytes": True}, "num_bytes is True"),
        ({"server_round": 1.5}, "server_round is 1.5"),
        ({"shop_id": None}, "shop_id is None, not a text"),
        ({"details": []}, r"details is \[\], not an object"),
        ({"extra": 1}, "extra is no key of it; it has shop_id, server_round"),
    ],
)
def test_a_line_that_is_no_entry_is_named(tmp_path, change, reason):
    path = tmp_path / "egress.jsonl"
    good = encode(entry())
    path.write_text(json.dumps(good) + "\n" + json.dumps(good | change) + "\n")
    with pytest.raises(RunDirectoryError, match=rf"egress\.jsonl, row 2: {reason}.*; repair the file or run it again"):
        read_rows(path, EgressEntry)


def test_a_line_that_is_no_entry_comes_with_its_remedy(tmp_path):
    path = tmp_path / "egress.jsonl"
    path.write_text(json.dumps(encode(entry()) | {"kind": None}) + "\n")
    with pytest.raises(RunDirectoryError) as caught:
        read_rows(path, EgressEntry)
    assert str(caught.value) == (f"{path}, row 1: kind is None, not a text; repair the file or run it again")


def test_nothing_at_all_may_have_left_in_round_zero():
    empty = entry(num_bytes=0, server_round=0, details={})
    assert decode(EgressEntry, encode(empty), "here") == empty


def test_looking_at_entries_leaves_them_there():
    ledger = MemoryLedger()
    for shop_id in "aba":
        ledger.record(entry(shop_id))
    assert [len(ledger.entries(shop_id)) for shop_id in ("a", "b", "c", None)] == [2, 1, 0, 3]
    assert len(ledger.entries()) == 3
    assert ledger.entries("") == [], "an empty id is a shop's, not all"


def test_a_missing_field_is_named(tmp_path):
    path = tmp_path / "egress.jsonl"
    row = encode(entry())
    del row["kind"]
    path.write_text(json.dumps(row))
    with pytest.raises(RunDirectoryError, match="row 1: kind is missing"):
        read_rows(path, EgressEntry)


@pytest.mark.parametrize("content", [b"{broken\n", b"\xff\xfe\n", b"[1]\n"])
def test_a_file_that_is_no_ledger_is_named(tmp_path, content):
    path = tmp_path / "egress.jsonl"
    path.write_bytes(content)
    with pytest.raises(RunDirectoryError, match=r"egress\.jsonl"):
        read_rows(path, EgressEntry)
