import multiprocessing
import os
import sqlite3
import sys
import threading

import pytest

from ecc_fed.core.errors import TeacherError
from ecc_fed.core.records import Turn
from ecc_fed.teacher.gateway.cache import CachedReply, ReplyCache, cache_key
from tests.teacher.fakes import build_prompt

REPLY = CachedReply("亲，在的👍🏽", "m-1", 12, 3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "replies.sqlite"


def test_what_is_put_is_found_again_by_another_object(path):
    ReplyCache(path).put([("shop", "a", REPLY)])
    assert ReplyCache(path).get("shop", ["a", "b"]) == {"a": REPLY}


def test_a_shops_replies_are_its_own(path):
    cache = ReplyCache(path)
    cache.put([("shop 1", "a", REPLY)])
    assert cache.get("shop 2", ["a"]) == {}


def test_the_first_reply_stays():
    cache = ReplyCache(":memory:")
    cache.put([("shop", "a", REPLY)])
    cache.put([("shop", "a", CachedReply("x", "m-2", 0, 0))])
    assert cache.get("shop", ["a"]) == {"a": REPLY}


def test_more_keys_than_fit_one_query():
    cache = ReplyCache(":memory:")
    keys = [str(number) for number in range(2_300)]
    cache.put([("shop", key, REPLY) for key in keys])
    assert list(cache.get("shop", keys)) and set(cache.get("shop", keys)) == set(keys)
    assert cache.get("shop", []) == {}


def test_the_key_is_of_model_decoding_and_prompt():
    prompt, other = build_prompt((), (Turn("customer", "在吗"),)), build_prompt((), (Turn("customer", "在"),))
    keys = {
        cache_key("m", {"t": 0.5}, prompt),
        cache_key("n", {"t": 0.5}, prompt),
        cache_key("m", {"t": 0.6}, prompt),
        cache_key("m", {"t": "0.5"}, prompt),
        cache_key("m", {"t": 0.5}, other),
    }
    assert len(keys) == 5
    assert cache_key("m", {"a": 1, "b": 2}, prompt) == cache_key("m", {"b": 2, "a": 1}, prompt)


def test_all_rows_or_none(path):
    cache = ReplyCache(path)
    with pytest.raises(TeacherError):
        cache.put([("shop", "a", REPLY), ("shop", "b", CachedReply(None, "m", 0, 0))])
    assert cache.get("shop", ["a", "b"]) == {}


def test_a_closed_file_opens_again(path):
    cache = ReplyCache(path)
    cache.put([("shop", "a", REPLY)])
    cache.close()
    assert cache.get("shop", ["a"]) == {"a": REPLY}


def test_a_file_that_is_no_database_is_named_with_the_remedy_and_left_alone(path):
    path.parent.mkdir()
    path.write_text("dear diary " * 500)
    with pytest.raises(TeacherError, match=r"replies\.sqlite cannot be used .*not a database.*delete it"):
        ReplyCache(path)
    assert path.read_text() == "dear diary " * 500


def test_another_programs_database_is_left_alone(path):
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE accounts (name TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(TeacherError, match="of another kind or version"):
        ReplyCache(path)
    assert path.read_bytes() == before


def test_a_damaged_file_is_told(path):
    cache = ReplyCache(path)
    cache.put([("shop", str(number), REPLY) for number in range(2_000)])
    cache.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xab" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(TeacherError, match=r"malformed.*delete it"):
        ReplyCache(path).get("shop", [str(number) for number in range(2_000)])


def test_a_folder_in_the_place_of_the_file_is_told(path):
    path.mkdir(parents=True)
    with pytest.raises(TeacherError, match="unable to open"):
        ReplyCache(path)


def test_a_file_in_the_place_of_the_folder_is_told(path):
    path.parent.write_text("")
    with pytest.raises(TeacherError, match="set another cache path"):
        ReplyCache(path)


def test_a_full_disk_is_told_and_what_was_there_stays(path):
    cache = ReplyCache(path)
    cache.put([("shop", "a", REPLY)])
    cache._connection.execute("PRAGMA max_page_count = 4")  # SQLite's own way to run out of space
    with pytest.raises(TeacherError, match=r"replies\.sqlite cannot be used \(database or disk is full\): free space"):
        cache.put([("shop", str(number), REPLY) for number in range(5_000)])
    assert cache.get("shop", ["a", "1"]) == {"a": REPLY}


def test_threads_share_one_object(path):
    cache, errors = ReplyCache(path), []

    def work(name: int) -> None:
        try:
            for number in range(40):
                cache.put([("shop", f"{name}-{number}", REPLY)])
                assert cache.get("shop", [f"{name}-{number}"])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(cache.get("shop", [f"{name}-{number}" for name in range(6) for number in range(40)])) == 240


def _fill(path: str, name: int) -> None:
    cache = ReplyCache(path)
    for number in range(40):
        cache.put([("shop", f"{name}-{number}", CachedReply(f"{name}", "m", number, 0))])


def test_processes_share_one_file(path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fill, args=(str(path), name)) for name in range(2)]
    for process in processes:
        process.start()
    _fill(str(path), 2)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(ReplyCache(path).get("shop", [f"{name}-{i}" for name in range(3) for i in range(40)])) == 120


def test_many_open_a_new_file_at_once(path):
    errors = []

    def work() -> None:
        try:
            ReplyCache(path)
        except TeacherError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.skipif(sys.platform == "win32", reason="no fork on Windows")
def test_a_forked_process_opens_the_file_anew(path):
    cache = ReplyCache(path)
    cache.put([("shop", "a", REPLY)])
    child = os.fork()
    if child == 0:
        try:
            assert cache.get("shop", ["a"]) == {"a": REPLY}
            cache.put([("shop", "b", REPLY)])
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert set(cache.get("shop", ["a", "b"])) == {"a", "b"}
