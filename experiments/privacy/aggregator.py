"""An aggregator that keeps to the protocol and is curious: what it makes of one update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecc_fed.core.records import AdapterState, Example
from ecc_fed.core.statistics import area_under_curve
from ecc_fed.privacy.attacks.accusation import found_among, recall_at
from ecc_fed.privacy.attacks.residual import place_bases, text_score
from ecc_fed.privacy.attacks.span import Floats, span_residuals, whitening
from experiments.privacy.inside import Inside
from experiments.privacy.rounds import Draw

# A token is accused for certain below this residual.
CERTAIN = 0.05
TOKENS_BY_A, TOKENS_BY_B = "tokens by A's rows", "tokens by B's rows"
REPLY_BY_B, TEXT_BY_A, TEXT_BY_B = "reply's tokens by B's columns", "text by A's rows", "text by B's columns"
ATTACKS = (TOKENS_BY_A, TOKENS_BY_B, REPLY_BY_B, TEXT_BY_A, TEXT_BY_B)


@dataclass(frozen=True)
class Figures:
    """Of one attack on one update, shares of 0 to 1; None where there is no such figure.

    `recall`: of the tokens, found among as many that lie nearest; `certain`, `precision`: by their residual alone.
    """

    auc: float | None
    recall: float | None = None
    certain: float | None = None
    precision: float | None = None


class Target:
    """One shop's texts as they are looked for, read once for all updates that are attacked."""

    def __init__(self, shop: Draw, inside: Inside, metrics: Mapping[str, Floats]) -> None:
        texts = (*shop.inside, *shop.outside)
        encoded = [inside.encode(each) for each in texts]
        self.members = [True] * len(shop.inside) + [False] * len(shop.outside)
        self.replies = [each.ids[each.prompt_length :] for each in encoded]
        mine = encoded[: len(shop.inside)]
        # The last token is predicted and never read.
        self.seen = frozenset(token for each in mine for token in each.ids[:-1])
        self.replied = frozenset(token for each in self.replies[: len(mine)] for token in each)
        self.inputs = [{place: read @ metrics[place] for place, read in inside.inputs(text).items()} for text in texts]


class Aggregator:
    """All attacks of one that sent `start`, and has texts of its own that look like those of the shops."""

    def __init__(self, inside: Inside, start: AdapterState, own_texts: Sequence[Example]) -> None:
        self.inside = inside
        self._metrics = inside.metrics(own_texts)
        self._first, self._last = next(iter(inside.places.values())), inside.modules[-1]
        self._inputs_metric, self._head_metric = whitening(inside.first_inputs), whitening(inside.head_rows)
        self._projected = {
            name: inside.first_inputs @ start[f"{name}.lora_A.weight"].astype(np.float64).T for name in self._first
        }
        self._others = np.array([i for i in range(len(inside.first_inputs)) if i not in inside.template])

    def target(self, shop: Draw) -> Target:
        """A shop to look for."""
        return Target(shop, self.inside, self._metrics)

    def attack(self, delta: AdapterState, target: Target) -> dict[str, Figures]:
        """Every attack's figures on one update."""
        columns = self._by_b_columns(delta)
        bases = place_bases(self.inside.updates(delta), self._metrics)
        by_a = [text_score(inputs, bases) for inputs in target.inputs]
        by_b = [-float(columns[reply].mean()) for reply in target.replies]
        figures = (
            self._of_tokens(self._by_a(delta), target.seen),
            self._of_tokens(self._by_b_rows(delta), target.seen),
            self._of_tokens(columns, target.replied),
            Figures(area_under_curve(by_a, target.members)),
            Figures(area_under_curve(by_b, target.members)),
        )
        return dict(zip(ATTACKS, figures, strict=True))

    def _by_a(self, delta: AdapterState) -> Floats:
        rows = [delta[f"{name}.lora_A.weight"] for name in self._first]
        return span_residuals(self.inside.first_inputs, rows, self._inputs_metric)

    def _by_b_rows(self, delta: AdapterState) -> Floats:
        """The mean over the modules that read the tokens, each with a space of its own as wide as its rank."""
        each = [
            span_residuals(features, [delta[f"{name}.lora_B.weight"]], whitening(features))
            for name, features in self._projected.items()
        ]
        return np.asarray(np.mean(each, axis=0), dtype=np.float64)

    def _by_b_columns(self, delta: AdapterState) -> Floats:
        return span_residuals(self.inside.head_rows, [delta[f"{self._last}.lora_B.weight"].T], self._head_metric)

    def _of_tokens(self, residuals: Floats, truth: frozenset[int]) -> Figures:
        """Without the chat template's tokens, which are in every text."""
        left, there = residuals[self._others], np.isin(self._others, list(truth))
        certain, precision = found_among(left < CERTAIN, there)
        return Figures(area_under_curve(-left, there), recall_at(left, there, int(there.sum())), certain, precision)
