"""What a shop has learned from: its agents' own replies and the cloud's pseudo-labels.

The paper trains the end model "by both a natural dataset and the generated dataset" (section III);
`draw_examples` mixes the two by a declared ratio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ecc_fed.core.records import OwnExample, Pair, PseudoLabel


def as_example(source: Pair | PseudoLabel) -> OwnExample:
    """What either teaches."""
    return OwnExample(source.pair_id, source.prompt, source.reply)


@dataclass(frozen=True)
class Experience:
    """Natural pairs (by id, in time order) and pseudo-labels (in the order they were made)."""

    natural: tuple[Pair, ...] = ()
    pseudo_labels: tuple[PseudoLabel, ...] = field(default=())

    def grown(self, natural: Sequence[Pair], pseudo_labels: Sequence[PseudoLabel]) -> Experience:
        """With more of both; a newer pseudo-label for the same pair takes the older one's place."""
        fresh = {label.pair_id for label in pseudo_labels}
        kept = tuple(label for label in self.pseudo_labels if label.pair_id not in fresh)
        return replace(self, natural=(*self.natural, *natural), pseudo_labels=(*kept, *pseudo_labels))

    def known(self) -> tuple[OwnExample, ...]:
        """All of it as examples to answer from: agents' answers last, which win over equally near ones of the cloud."""
        return (*map(as_example, self.pseudo_labels), *map(as_example, self.natural))


def cycled(num_items: int, num_draws: int, rng: np.random.Generator) -> list[int]:
    """`num_draws` indices in whole permutations, so that every item is seen before any is seen again."""
    order: list[int] = []
    while len(order) < num_draws:
        order.extend(rng.permutation(num_items).tolist())
    return order[:num_draws]


def draw_examples(
    experience: Experience, num_examples: int, pseudo_share: float, rng: np.random.Generator
) -> tuple[OwnExample, ...]:
    """Draws a training set for one cycle.

    Args:
        experience: what the shop has.
        num_examples: how many to draw (steps times batch size).
        pseudo_share: wanted share of pseudo-labels, 0 to 1. A source that is empty leaves its
            share to the other.
        rng: the cycle's generator.

    Returns:
        `num_examples` examples in a random order; none if the experience is empty.
    """
    natural = [as_example(pair) for pair in experience.natural]
    pseudo = [as_example(label) for label in experience.pseudo_labels]
    if not natural and not pseudo:
        return ()
    num_pseudo = round(pseudo_share * num_examples) if natural else num_examples
    if not pseudo:
        num_pseudo = 0
    drawn = [pseudo[i] for i in cycled(len(pseudo), num_pseudo, rng)] if num_pseudo else []
    if num_pseudo < num_examples:
        drawn += [natural[i] for i in cycled(len(natural), num_examples - num_pseudo, rng)]
    return tuple(drawn[i] for i in rng.permutation(len(drawn)))
