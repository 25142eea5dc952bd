"""A smoothed character bigram: the plain yardstick that stands beside every perplexity.

A neural model's perplexity means little alone. The bigram is trained on the same replies the shop's
end model may learn from, and scored on the same held-out replies, end mark included.
"""

import itertools
import math
from collections import Counter
from collections.abc import Sequence

_START, _END = "\x02", "\x03"


def bigram_perplexity(
    training: Sequence[str], held_out: Sequence[str], interpolation: float = 5.0, vocabulary: int = 8_000
) -> float | None:
    """Perplexity per character of `held_out` under an interpolated bigram of `training`.

        P(b | a) = (count(a b) + interpolation * P1(b)) / (count(a) + interpolation)
        P1(b)    = (count(b) + 1) / (total + vocabulary)

    Args:
        training: replies to count.
        held_out: replies to score; nats are summed over characters and the end mark, and divided
            by characters, as the end model's are.
        interpolation: weight of the unigram, in counts.
        vocabulary: how many characters the add-one unigram spreads over (common Chinese use).

    Returns:
        The perplexity, or None where either side is empty.
    """
    characters = sum(len(text) for text in held_out)
    if not training or not characters:
        return None
    unigrams: Counter[str] = Counter()
    bigrams: Counter[tuple[str, str]] = Counter()
    contexts: Counter[str] = Counter()
    for text in training:
        marked = _START + text + _END
        unigrams.update(marked[1:])
        contexts.update(marked[:-1])
        bigrams.update(itertools.pairwise(marked))
    total = unigrams.total()
    nats = 0.0
    for text in held_out:
        marked = _START + text + _END
        for before, after in itertools.pairwise(marked):
            unigram = (unigrams[after] + 1) / (total + vocabulary)
            nats -= math.log((bigrams[before, after] + interpolation * unigram) / (contexts[before] + interpolation))
    return math.exp(nats / characters)
