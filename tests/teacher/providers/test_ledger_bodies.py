"""The ledger against the bodies that a provider's server really got, byte for byte."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from ecc_fed.teacher.gateway.retry import RetryPolicy
from ecc_fed.teacher.gateway.texts import TEACHER_TEXTS, KeptTexts, read_texts

from ..fakes import gateway, request
from .loopback import Loopback

QUESTIONS = [request(f"问题{number} 👍🏽") for number in range(6)]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def test_every_body_is_in_the_ledger_with_its_bytes_and_the_digests_of_its_parts(
    open_teacher: Any, server: Loopback, tmp_path: Path
) -> None:
    server.plan.extend(["unavailable", "ok", "broken_json", "reset_late"])
    cloud, ledger, _ = gateway(open_teacher(), retry=RetryPolicy(max_attempts=3), max_parallel=1)
    cloud.texts = KeptTexts(lambda shop_id: tmp_path)
    cloud.answer(QUESTIONS)
    entries = ledger.entries()
    queries = [entry for entry in entries if entry.kind == "query"]
    assert len(server.requests) == len(queries) > len(QUESTIONS)
    assert sorted(int(entry.details["wire_bytes"]) for entry in queries) == sorted(len(r.raw) for r in server.requests)
    texts = {each.digest: each.text for each in read_texts(tmp_path / TEACHER_TEXTS)}
    examples = {entry.digest for entry in entries if entry.kind == "few_shot_examples"}
    instructions = {entry.digest for entry in entries if entry.kind == "instruction"}
    assert sorted(entry.digest for entry in queries) == sorted(digest(sent.said) for sent in server.requests)
    for sent in server.requests:
        (of_shop,) = examples
        assert texts[of_shop] in sent.system and digest(texts[of_shop]) == of_shop
        assert {digest(sent.system.replace(texts[of_shop], ""))} == instructions
        assert texts[digest(sent.said)] == sent.said
    up = sum(entry.num_bytes for entry in entries if entry.direction == "up")
    assert up == sum(len((sent.system + sent.said).encode()) for sent in server.requests)


@pytest.mark.parametrize("behaviour", ["reset_late", "ok"])
def test_no_text_of_a_body_is_in_the_ledger(open_teacher: Any, server: Loopback, behaviour: str) -> None:
    server.plan.append(behaviour)
    cloud, ledger, _ = gateway(open_teacher(), retry=RetryPolicy(max_attempts=2))
    cloud.answer(QUESTIONS[:1])
    written = repr(ledger.entries())
    assert all(part not in written for sent in server.requests for part in sent.said.split("\n") + sent.system.split())
