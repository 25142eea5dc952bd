"""What left for the teacher, word for word: kept where that is wished for, before it leaves, and joined by digest."""

import hashlib
import json
import threading
from pathlib import Path

import pytest

from ecc_fed.core.errors import RunDirectoryError, WriteError
from ecc_fed.core.records import OrderRecord, TeacherText, short_digest
from ecc_fed.core.rows import encode, write_rows
from ecc_fed.teacher.gateway.retry import RetryPolicy
from ecc_fed.teacher.gateway.texts import TEACHER_TEXTS, KeptTexts, read_texts

from ..fakes import ScriptedTeacher, StarRedactor, failed, gateway, request

QUESTIONS = [request(f"问题{number}", shop_id=f"shop{number % 2}") for number in range(6)]


def text(said: str, shop_id: str = "a") -> TeacherText:
    return TeacherText(shop_id, "query", short_digest(said.encode()), said)


def kept(tmp_path: Path, teacher: object, **changes: object):
    cloud, ledger, _ = gateway(teacher, **changes)
    cloud.texts = KeptTexts(lambda shop_id: tmp_path / shop_id)
    return cloud, ledger


@pytest.mark.parametrize("remote", [True, False])
def test_every_part_that_left_is_there_once_and_the_ledger_names_it(tmp_path: Path, remote: bool) -> None:
    # The first attempt at every prompt fails: the same words leave twice.
    teacher = ScriptedTeacher(lambda prompt, attempt: failed("unavailable") if attempt == 1 else None)
    teacher.remote = remote
    cloud, ledger = kept(tmp_path, teacher, retry=RetryPolicy(max_attempts=2), max_parallel=4)
    assert {reply.outcome for reply in cloud.answer(QUESTIONS)} == {"ok"}
    for shop_id in ("shop0", "shop1"):
        texts = read_texts(tmp_path / shop_id / TEACHER_TEXTS)
        by_digest = {each.digest: each for each in texts}
        assert len(by_digest) == len(texts) == 2 + 3, "instruction and examples once, and every query"
        up = [entry for entry in ledger.entries(shop_id) if entry.direction == "up"]
        assert len(up) == 3 * 2 * 3 and {entry.digest for entry in up} == by_digest.keys()
        for entry in up:
            said = by_digest[entry.digest]
            assert (said.kind, len(said.text.encode()), said.shop_id) == (entry.kind, entry.num_bytes, shop_id)
            assert hashlib.sha256(said.text.encode()).hexdigest()[:32] == entry.digest
    down = [entry for entry in ledger.entries() if entry.direction == "down"]
    said = [f"回复：问题{number}" for number in range(6)]
    assert {entry.digest for entry in down} == {short_digest(each.encode()) for each in said}


def test_they_are_kept_as_the_redaction_let_them_through(tmp_path: Path) -> None:
    record = OrderRecord(phone="13800138000")
    cloud, ledger = kept(tmp_path, ScriptedTeacher(), redactor=StarRedactor())
    cloud.answer([request("我的电话13800138000", customer=record)])
    content = (tmp_path / "shop" / TEACHER_TEXTS).read_text(encoding="utf-8")
    assert "13800138000" not in content and "我的电话" in content
    assert {entry.redaction for entry in ledger.entries()} == {"stars"}


def test_they_are_there_before_anything_leaves(tmp_path: Path) -> None:
    seen: list[bool] = []

    def script(prompt, attempt):
        there = {each.text for each in read_texts(tmp_path / "shop" / TEACHER_TEXTS)}
        seen.append({prompt.dialogue, prompt.few_shot.examples_text, prompt.few_shot.instruction} <= there)

    cloud, _ = kept(tmp_path, ScriptedTeacher(script))
    cloud.answer([request("在吗"), request("发什么快递，几天能到，能不能换一家快递公司呢，谢谢您")])
    assert seen == [True, True]


def test_what_cannot_be_kept_does_not_leave(tmp_path: Path) -> None:
    (tmp_path / "shop").write_text("a file where the folder should be")
    teacher = ScriptedTeacher()
    cloud, ledger = kept(tmp_path, teacher)
    with pytest.raises(WriteError, match=r"cannot write .*teacher_texts\.jsonl"):
        cloud.answer([request("在吗")])
    assert teacher.sent == [] and ledger.entries() == []


def test_without_it_no_file_and_no_word_of_a_prompt_in_the_ledger(tmp_path: Path) -> None:
    teacher = ScriptedTeacher()
    cloud, ledger, _ = gateway(teacher)
    cloud.answer(QUESTIONS)
    written = json.dumps([encode(entry) for entry in ledger.entries()], ensure_ascii=False)
    assert not any(f"问题{number}" in written for number in range(6))
    # Every run of four characters of what was sent, our own words included.
    pieces = {sent[start : start + 4] for sent in teacher.sent for start in range(len(sent) - 3)}
    assert len(pieces) > 100 and not [piece for piece in pieces if piece.isascii() < (piece in written)]


def test_a_process_that_goes_on_adds_what_is_new_and_cuts_what_was_torn(tmp_path: Path) -> None:
    path = tmp_path / TEACHER_TEXTS
    KeptTexts(lambda shop_id: tmp_path).keep([text("一"), text("二")])
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"digest": "ab')
    assert [each.text for each in read_texts(path)] == ["一", "二"]
    again = KeptTexts(lambda shop_id: tmp_path)
    again.keep([text("二"), text("三"), text("三"), text("二", shop_id="b")])
    assert [(each.shop_id, each.text) for each in read_texts(path)] == [
        ("a", "一"),
        ("a", "二"),
        ("a", "三"),
        ("b", "二"),
    ]
    assert path.read_bytes().startswith(whole)


def test_threads_lose_and_double_nothing(tmp_path: Path) -> None:
    texts = KeptTexts(lambda shop_id: tmp_path)
    work = [threading.Thread(target=lambda: [texts.keep([text(str(n))]) for n in range(50)]) for _ in range(4)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert sorted(int(each.text) for each in read_texts(tmp_path / TEACHER_TEXTS)) == list(range(50))


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    write_rows(tmp_path / TEACHER_TEXTS, [text("一")])
    (tmp_path / TEACHER_TEXTS).write_bytes(b"[1]\n")
    with pytest.raises(RunDirectoryError, match=r"teacher_texts\.jsonl, line 1"):
        KeptTexts(lambda shop_id: tmp_path).keep([text("二")])


def test_no_texts_is_no_file(tmp_path: Path) -> None:
    KeptTexts(lambda shop_id: tmp_path).keep([])
    assert read_texts(tmp_path / TEACHER_TEXTS) == [] and not list(tmp_path.iterdir())
