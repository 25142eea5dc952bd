"""What a shop under review knows: its run's experience, and what the chat has taught it beside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecc_fed.core.protocols import Redactor
from ecc_fed.core.records import OwnExample, Pair, PseudoLabel, Shop
from ecc_fed.evolution.experience import Experience, as_example, cycled, draw_examples
from ecc_fed.evolution.text_masks import masked

CHAT = "chat/"  # begins the ids of what is asked in a chat


@dataclass(frozen=True, slots=True)
class Memory:
    """The shop's natural pairs, and its pseudo-labels of the run and of the chat."""

    natural: tuple[Pair, ...]
    labels: tuple[PseudoLabel, ...]

    @property
    def experience(self) -> Experience:
        """Of the run."""
        return Experience(self.natural, tuple(label for label in self.labels if not label.pair_id.startswith(CHAT)))

    @property
    def taught(self) -> tuple[PseudoLabel, ...]:
        """In the chat, in the order of the lessons."""
        return tuple(label for label in self.labels if label.pair_id.startswith(CHAT))

    def known(self) -> tuple[OwnExample, ...]:
        """All of it to answer from; what was taught in the chat comes last, and wins over equals."""
        return (*self.experience.known(), *map(as_example, self.taught))

    def with_label(self, label: PseudoLabel) -> Memory:
        """With one more; it takes the place of a former one for the same question."""
        return Memory(self.natural, Experience((), self.labels).grown((), (label,)).pseudo_labels)

    def masked(self, redactor: Redactor | None, shop: Shop) -> Memory:
        """As a model may learn from it."""
        lived = masked(Experience(self.natural, self.labels), redactor, shop)
        return Memory(lived.natural, lived.pseudo_labels)

    def lesson(
        self, label: PseudoLabel, count: int, label_share: float, pseudo_share: float, rng: np.random.Generator
    ) -> list[OwnExample]:
        """`count` examples in a random order: the label, earlier ones of the chat, and rehearsal of experience.

        Args:
            label: what is to be learned.
            count: steps times batch size.
            label_share: of the examples, so many are labels of the chat, half of them earlier ones.
            pseudo_share: as `draw_examples`.
            rng: the lesson's.
        """
        earlier = [other for other in self.taught if other.pair_id != label.pair_id]
        rehearsed = draw_examples(self.experience, count - round(label_share * count), pseudo_share, rng)
        num_labels = count - len(rehearsed)
        num_earlier = num_labels // 2 if earlier else 0
        chosen = [label] * (num_labels - num_earlier) + [earlier[i] for i in cycled(len(earlier), num_earlier, rng)]
        drawn = [*rehearsed, *map(as_example, chosen)]
        return [drawn[i] for i in rng.permutation(len(drawn))]
