"""Which of a shop's own pairs stand as few-shot examples in the cloud's prompt (N of the paper's Table II)."""

from __future__ import annotations

from collections.abc import Sequence

from ecc_fed.core.records import Pair
from ecc_fed.evolution.nearest import NearestTexts
from ecc_fed.evolution.settings import EvolutionSettings


def last(pairs: Sequence[Pair], count: int) -> Sequence[Pair]:
    """The latest `count` pairs; none for 0."""
    return pairs[len(pairs) - min(count, len(pairs)) :]


def few_shots(pairs: Sequence[Pair], known: Sequence[Pair], settings: EvolutionSettings) -> list[Sequence[Pair]]:
    """For each of `pairs` its examples among the `known` ones, oldest first: news stands behind what it changed.

    `latest`: the newest `teacher_examples`, the same for all. `nearest`: the `nearest_examples` whose queries are
    nearest to the pair's own. Without the context: an example is a query and its answer, nothing before them.
    """
    if settings.examples == "latest":
        return [last(known, settings.teacher_examples)] * len(pairs)
    index = NearestTexts([pair.query for pair in known])
    return [[known[i] for i in sorted(index.nearest(pair.query, settings.nearest_examples))] for pair in pairs]
