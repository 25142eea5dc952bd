"""Where a judge's model is looked for, and which sizes it takes."""

from types import SimpleNamespace

import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.judging.loading import (
    EMBEDDED_FOLDER,
    check_limits,
    length_sorted_batches,
    resolve_folder,
)


def test_embedded_models_are_named_and_other_paths_stay_as_they_are() -> None:
    assert resolve_folder("embedded", "similarity") == str(EMBEDDED_FOLDER / "similarity")
    assert resolve_folder("embedded/relevance", "similarity") == str(EMBEDDED_FOLDER / "relevance")
    for path in ("/models/bge", "BAAI/bge-small-zh", "embedded2", "models/embedded/x"):
        assert resolve_folder(path, "similarity") == path


def _model(**config: object) -> SimpleNamespace:
    return SimpleNamespace(config=SimpleNamespace(**{"model_type": "bert", "pad_token_id": 0} | config))


@pytest.mark.parametrize(
    ("model", "most"),
    [
        (_model(max_position_embeddings=48), 48),
        # RoBERTa's positions start behind the padding id.
        (_model(max_position_embeddings=48, model_type="xlm-roberta", pad_token_id=1), 46),
        (_model(max_position_embeddings=48, model_type="roberta", pad_token_id=0), 47),
        (_model(max_position_embeddings=48, model_type="camembert", pad_token_id=None), 47),
        (_model(), 10_000),
    ],
)
def test_a_text_is_as_long_as_the_models_positions_allow(model: SimpleNamespace, most: int) -> None:
    for max_tokens in (8, most):
        check_limits(max_tokens, 1, model, "similarity", "m")
    refused = [7] if not hasattr(model.config, "max_position_embeddings") else [7, most + 1]
    for max_tokens in refused:
        taken = most if hasattr(model.config, "max_position_embeddings") else max_tokens
        with pytest.raises(ConfigError) as caught:
            check_limits(max_tokens, 1, model, "similarity", "m")
        assert str(caught.value) == f"judge.similarity.max_tokens={max_tokens} is out of range: m takes 8 to {taken}."


def test_a_batch_holds_one_text_or_more() -> None:
    check_limits(8, 1, _model(), "relevance", "m")
    with pytest.raises(ConfigError, match=r"^judge\.relevance\.batch_size=0 is out of range: 1 or more\.$"):
        check_limits(8, 0, _model(), "relevance", "m")


def test_batches_run_from_the_longest_text_to_the_shortest_ties_in_order() -> None:
    assert list(length_sorted_batches([3, 5, 5, 1, 2], 2)) == [[1, 2], [0, 4], [3]]
    assert list(length_sorted_batches([1, 1, 1], 5)) == [[0, 1, 2]]
    assert list(length_sorted_batches([], 3)) == []
