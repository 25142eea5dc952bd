"""What an update spans, on linear layers whose inputs are known; gradients by torch's own autograd."""

import numpy as np
import pytest
import torch

from ecc_fed.privacy.attacks.residual import place_bases, text_score
from ecc_fed.privacy.attacks.span import residuals, row_space, span_residuals, whitening

WIDTH, OUT, VOCABULARY = 24, 10, 60


def gradients(
    inputs: np.ndarray, rank: int, b_scale: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(dL/dA, dL/dB, A) of one layer over inputs (tokens, WIDTH), for a loss that is no sum over tokens."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    a, b = drawn(rank, WIDTH).requires_grad_(), (b_scale * drawn(OUT, rank)).requires_grad_()
    w, x = drawn(OUT, WIDTH), torch.tensor(inputs)
    y = x @ w.T + 4.0 * x @ a.T @ b.T
    loss = torch.logsumexp(torch.tanh(y).sum(1), 0) + (y**2).mean()
    of_a, of_b = torch.autograd.grad(loss, [a, b])
    return of_a.numpy(), of_b.numpy(), a.detach().numpy()


@pytest.fixture
def vocabulary() -> np.ndarray:
    rng = np.random.default_rng(0)
    # Tokens have much in common, as embeddings have.
    return rng.normal(size=(VOCABULARY, WIDTH)) + 3.0 * rng.normal(size=WIDTH)


@pytest.mark.parametrize("whitened", [False, True])
def test_the_tokens_that_an_update_saw_lie_in_its_rows_and_no_others_do(vocabulary: np.ndarray, whitened: bool) -> None:
    seen = [3, 17, 17, 41, 5]
    of_a, _, _ = gradients(vocabulary[seen], rank=6)
    found = span_residuals(vocabulary, [of_a], whitening(vocabulary) if whitened else None)
    assert set(np.flatnonzero(found < 1e-6)) == set(seen)
    assert np.delete(found, seen).min() > 0.1


def test_ranks_of_modules_that_read_the_same_add_up(vocabulary: np.ndarray) -> None:
    seen = list(range(8))
    updates = [gradients(vocabulary[seen], rank=3, seed=seed)[0] for seed in range(3)]
    assert span_residuals(vocabulary, updates[:2])[seen].max() > 0.05, "six rows do not hold eight tokens"
    assert span_residuals(vocabulary, updates)[seen].max() < 1e-6
    louder = [1e6 * updates[0], *updates[1:]]
    assert np.allclose(span_residuals(vocabulary, louder), span_residuals(vocabulary, updates), atol=1e-6)


def test_a_first_step_from_b_at_zero_says_nothing(vocabulary: np.ndarray) -> None:
    of_a, of_b, _ = gradients(vocabulary[:4], rank=6, b_scale=0.0)
    assert not of_a.any() and of_b.any()
    assert row_space([of_a]).shape == (0, WIDTH)
    assert (span_residuals(vocabulary, [of_a], whitening(vocabulary)) == 1.0).all()


def test_bs_rows_hold_what_a_made_of_the_tokens_until_they_are_as_many_as_its_rank(vocabulary: np.ndarray) -> None:
    _, of_b, a = gradients(vocabulary[:4], rank=6)
    projected = vocabulary @ a.T
    found = span_residuals(projected, [of_b])
    assert set(np.flatnonzero(found < 1e-6)) == {0, 1, 2, 3}
    _, of_b, a = gradients(vocabulary[:6], rank=6)
    assert span_residuals(vocabulary @ a.T, [of_b]).max() < 1e-6, "all of its space: everybody is accused"


def test_bs_columns_hold_the_labels_rows_of_the_head() -> None:
    # h = B a over a head H, from B = 0: p is uniform, and dL/dh = mean(H) - H_label.
    rng = np.random.default_rng(1)
    head = torch.tensor(rng.normal(size=(VOCABULARY, OUT)))
    a, labels = torch.tensor(rng.normal(size=(3, 4))), torch.tensor([7, 7, 22])
    b = torch.zeros(OUT, 4, dtype=torch.float64, requires_grad=True)
    (of_b,) = torch.autograd.grad(torch.nn.functional.cross_entropy(a @ b.T @ head.T, labels), b)
    rows = (head - head.mean(0)).numpy()
    found = span_residuals(rows, [of_b.numpy().T], whitening(rows))
    assert set(np.flatnonzero(found < 1e-6)) == {7, 22}


def test_a_residual_is_what_least_squares_leaves(vocabulary: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(5, WIDTH))
    basis = row_space([rows])
    assert np.allclose(basis @ basis.T, np.eye(5))
    solution = np.linalg.lstsq(rows.T, vocabulary.T, rcond=None)[0]
    left = np.linalg.norm(vocabulary.T - rows.T @ solution, axis=0) / np.linalg.norm(vocabulary, axis=1)
    assert np.allclose(residuals(vocabulary, basis), left)
    assert residuals(np.zeros((1, WIDTH)), basis).tolist() == [1.0]


def test_rounding_is_no_direction() -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(8, 2)) @ rng.normal(size=(2, WIDTH))
    noisy = rows + 1e-9 * rng.normal(size=rows.shape)
    assert len(row_space([noisy])) == 2 and len(row_space([noisy], tolerance=0.0)) == 8


def test_whitening_makes_the_second_moment_one_and_shortens_what_is_common(vocabulary: np.ndarray) -> None:
    metric = whitening(vocabulary, ridge=0.0)
    white = vocabulary @ metric
    assert np.allclose(white.T @ white / len(white), np.eye(WIDTH)) and np.allclose(metric, metric.T)
    # An update that knows only what is common to all tokens is near all of them, unless that is taken out.
    common = vocabulary.mean(0, keepdims=True)
    assert span_residuals(vocabulary, [common]).mean() < 0.5
    assert span_residuals(vocabulary, [common], whitening(vocabulary)).mean() > 0.95


def test_an_update_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        row_space([np.array([[1.0, np.nan]])])
    with pytest.raises(ValueError, match="at least one matrix"):
        row_space([])


def test_a_text_is_scored_by_the_mean_of_its_places(vocabulary: np.ndarray) -> None:
    inside, outside = vocabulary[:4], vocabulary[4:8]
    updates = {"first": [gradients(inside, rank=6)[0]], "silent": [np.zeros((6, WIDTH))]}
    metrics = {place: whitening(vocabulary) for place in updates}
    bases = place_bases(updates, metrics)
    assert list(bases) == ["first"], "a place that says nothing has no say"
    white = {place: vocabulary @ metric for place, metric in metrics.items()}
    scores = [
        text_score({place: rows[part] for place, rows in white.items()}, bases) for part in (slice(4), slice(4, 8))
    ]
    assert scores[0] == pytest.approx(0.0, abs=1e-6)
    expected = -span_residuals(outside, updates["first"], metrics["first"]).mean()
    assert scores[1] == pytest.approx(expected) and scores[1] < -0.3
    assert text_score({"silent": white["silent"]}, {}) == -1.0
    both = {"first": bases["first"], "again": np.zeros((0, WIDTH))}
    assert text_score({"first": white["first"][:4], "again": outside}, both) == pytest.approx(-0.5, abs=1e-6)
