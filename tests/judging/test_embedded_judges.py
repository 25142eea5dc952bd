"""The tiny judges that ship: they load by the same code as SimBERT and RocketQA, and hold what their cards say."""

import hashlib
import re
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import ecc_fed
from ecc_fed.corpus.simulator.public import QueryContrast, ReplyContrast, query_contrasts, reply_contrasts
from ecc_fed.judging.relevance import CrossEncoderRelevance
from ecc_fed.judging.similarity import EncoderSimilarity

PACKAGE = Path(ecc_fed.__file__).parent
FOLDERS = {
    "end_model": PACKAGE / "end_model" / "embedded",
    "similarity": PACKAGE / "judging" / "embedded" / "similarity",
    "relevance": PACKAGE / "judging" / "embedded" / "relevance",
    "questions": PACKAGE / "judging" / "embedded" / "questions",
}
OTHER, WRONG, QUESTION = (
    "AUC against other content of the same shop",
    "AUC against the same form with a wrong value",
    "AUC against replies to other questions of the same shop",
)
# What a judge must reach on held-out forms and values, and how near its card must be to other draws of them.
BARS = {OTHER: 0.97, WRONG: 0.85, QUESTION: 0.95}
TOLERANCE = 0.03


def _auc(positive: np.ndarray, negative: np.ndarray) -> float:
    difference = positive[:, None] - negative[None, :]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


@pytest.fixture(scope="module")
def replies() -> list[ReplyContrast]:
    return list(islice(reply_contrasts(20260, held_out=True), 300))


@pytest.fixture(scope="module")
def queries() -> list[QueryContrast]:
    return list(islice(query_contrasts(20261, held_out=True), 150))


def _said(name: str, measure: str) -> float:
    """A card's figure on held-out forms and values."""
    card = (FOLDERS[name] / "CARD.md").read_text(encoding="utf-8")
    held_out = card.split("## On held-out forms and values")[1].split("##")[0]
    found = re.search(rf"\| {measure} \| ([\d.]+) \|", held_out)
    assert found is not None and float(found[1]) >= BARS[measure]
    return float(found[1])


@pytest.mark.parametrize("name", FOLDERS)
def test_the_card_names_the_weights_and_the_command(name: str) -> None:
    card = (FOLDERS[name] / "CARD.md").read_text(encoding="utf-8")
    digest = hashlib.sha256((FOLDERS[name] / "model.safetensors").read_bytes()).hexdigest()
    assert f"sha256 `{digest}`" in card
    assert re.search(rf"`python -m experiments\.embedded\.train --part {name} --seed \d+ --scale [\d.]+`", card)


def test_all_embedded_models_together_are_small() -> None:
    total = sum(path.stat().st_size for folder in FOLDERS.values() for path in folder.rglob("*") if path.is_file())
    assert total < 20_000_000


def test_similarity_on_held_out_forms_and_values(replies: list[ReplyContrast]) -> None:
    model = EncoderSimilarity("embedded", "mean")
    anchors = [row.anchor for row in replies]
    same = model.similarity(anchors, [row.same_meaning for row in replies])
    wrong = model.similarity(anchors, [row.wrong_value for row in replies])
    other = model.similarity(anchors, [row.other_content for row in replies])
    assert _auc(same, other) == pytest.approx(_said("similarity", OTHER), abs=TOLERANCE)
    assert _auc(same, wrong) == pytest.approx(_said("similarity", WRONG), abs=TOLERANCE)


def test_relevance_on_held_out_forms_and_values(queries: list[QueryContrast]) -> None:
    model = CrossEncoderRelevance("embedded", "sigmoid")
    right = model.relevance(
        [question for row in queries for question in (row.query, row.paraphrase)],
        [row.reply for row in queries for _ in range(2)],
    )
    wrong = model.relevance(
        [row.query for row in queries for _ in row.other_replies],
        [reply for row in queries for reply in row.other_replies],
    )
    assert _auc(right, wrong) == pytest.approx(_said("relevance", QUESTION), abs=TOLERANCE)
    assert np.all((right >= 0) & (right <= 1))


def test_scores_do_not_depend_on_the_batch(replies: list[ReplyContrast], queries: list[QueryContrast]) -> None:
    texts = [row.anchor for row in replies[:40]]
    similarity = EncoderSimilarity("embedded", "mean", batch_size=40)
    alone = np.concatenate([similarity.encode([text]) for text in texts])
    np.testing.assert_allclose(similarity.encode(texts), alone, atol=1e-5)
    relevance = CrossEncoderRelevance("embedded", "sigmoid", batch_size=40)
    pairs = [(row.query, row.reply) for row in queries[:40]]
    together = relevance.relevance([query for query, _ in pairs], [reply for _, reply in pairs])
    np.testing.assert_allclose(together, [relevance.relevance([q], [r])[0] for q, r in pairs], atol=1e-5)
