import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.core.errors import ConfigError
from ecc_fed.teacher.simulated.encoding import CharacterEncoder, WordEncoder


@pytest.mark.parametrize("kind", [CharacterEncoder, WordEncoder])
@given(texts=st.lists(st.text(), max_size=5))
def test_rows_are_unit_vectors_of_their_own_text(kind, texts):
    encoder = kind(64)
    rows = encoder.encode(texts)
    assert rows.shape == (len(texts), 64) and rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    for text, row in zip(texts, rows, strict=True):
        assert np.array_equal(encoder.encode([text])[0], row)


def test_with_enough_dimensions_it_is_the_cosine_of_the_counts():
    def grams(text):
        marked = f"<{text}>"
        return [*text, *(marked[i : i + 2] for i in range(len(marked) - 1))]

    left, right = "发什么快递发货", "快递发什么"
    names = sorted({*grams(left), *grams(right)})
    counts = [np.array([grams(text).count(name) for name in names], float) for text in (left, right)]
    expected = counts[0] @ counts[1] / np.linalg.norm(counts[0]) / np.linalg.norm(counts[1])
    rows = CharacterEncoder(65_536).encode([left, right])
    assert rows[0] @ rows[1] == pytest.approx(expected, abs=1e-6)


def test_width_case_space_and_punctuation_do_not_count():
    rows = CharacterEncoder().encode(["ABC12，好", "ａｂｃ１２ 好！"])
    np.testing.assert_array_equal(rows[0], rows[1])


def test_words_count_by_themselves_and_by_their_trigrams():
    shipped, shipping, order, shuffled = WordEncoder().encode(
        ["is it shipped", "It is: shipping?", "my order", "it, is SHIPPED"]
    )
    np.testing.assert_array_equal(shipped, shuffled)
    assert shipped @ shipping > 0.5 > 0.1 > shipped @ order


@pytest.mark.parametrize("kind", ["CharacterEncoder", "WordEncoder"])
def test_it_is_the_same_in_every_process(kind):
    script = (
        f"from ecc_fed.teacher.simulated.encoding import {kind};"
        f"print({kind}(64).encode(['发什么快递 by courier'])[0].nonzero()[0].tolist())"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    encoder = {"CharacterEncoder": CharacterEncoder, "WordEncoder": WordEncoder}[kind](64)
    assert printed.strip() == str(encoder.encode(["发什么快递 by courier"])[0].nonzero()[0].tolist())


@pytest.mark.parametrize("kind", [CharacterEncoder, WordEncoder])
@pytest.mark.parametrize("dimensions", [0, 10**9])
def test_dimensions_out_of_range_are_refused(kind, dimensions):
    with pytest.raises(ConfigError, match=r"encoder\.dimensions=.* is out of range"):
        kind(dimensions)
