"""What a shop's score holds: nothing where the judge cannot read, similarity alone where relevance says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.core.protocols import Judge
from ecc_fed.core.records import Judgement, Pair
from ecc_fed.core.rows import ShopRelevance, read_record, write_record
from ecc_fed.core.seeding import derive_rng
from ecc_fed.core.statistics import area_under_curve

RELEVANCE_FILE = "relevance.json"
_MOST_PAIRS, _OTHERS = 100, 2
# With fewer an AUC is noise.
_FEWEST_PAIRS = 10
# A batch moves a model's last bits, and no shop may decide by them.
_DECIMALS = 3


@dataclass
class Scoring:
    """How the shops of a host are scored.

    Attributes:
        withheld: why no reply is scored; None where replies are.
        relevance_min_auc: AUC below which a shop leaves relevance out, 0 to 1; 0 measures nothing.
        shops: by shop, what relevance was found to be worth there.
    """

    withheld: str | None = None
    relevance_min_auc: float = 0.0
    shops: dict[str, ShopRelevance] = field(default_factory=dict)

    def look_up(self, shop_id: str, history: Sequence[Pair], folder: Path, judge: Judge, seed: int) -> None:
        """Measures once what relevance is worth to the shop, and keeps it in its folder.

        Args:
            shop_id: the shop.
            history: its dialogues before the run; nothing that it is served or tested on.
            folder: the shop's.
            judge: its relevance model.
            seed: the run's.

        Raises:
            RunDirectoryError: the folder cannot be written.
        """
        if self.withheld is not None or not self.relevance_min_auc or shop_id in self.shops:
            return
        found = recorded_relevance(folder)
        if found is None:
            found = measure_relevance(history, judge, self.relevance_min_auc, seed)
            folder.mkdir(parents=True, exist_ok=True)
            write_record(folder / RELEVANCE_FILE, found)
        self.shops[shop_id] = found

    def of_shop(self, shop_id: str, judgement: Judgement, accept_score: float) -> Judgement:
        """The judgement as this shop makes it: by similarity alone where it leaves relevance out."""
        worth = self.shops.get(shop_id)
        if worth is None or worth.used:
            return judgement
        score = judgement.similarity
        return replace(judgement, final_score=score, relevance_trusted=False, accepted=score >= accept_score)


def recorded_relevance(folder: Path) -> ShopRelevance | None:
    """What lies in the shop's folder; None where nothing lies there, or what does cannot be read."""
    try:
        return read_record(folder / RELEVANCE_FILE, ShopRelevance)
    except (OSError, RunDirectoryError):
        return None


def measure_relevance(history: Sequence[Pair], judge: Judge, min_auc: float, seed: int) -> ShopRelevance:
    """AUC of the relevance of a shop's own replies against replies of its other dialogues, to the same queries.

    Up to 100 pairs of the history and two replies of other dialogues to each, never the same text. With fewer than 10
    pairs nothing is measured, and relevance is kept.
    """
    rng = derive_rng(seed, "relevance")
    chosen = [history[int(i)] for i in np.sort(rng.permutation(len(history))[:_MOST_PAIRS])]
    queries: list[str] = []
    replies: list[str] = []
    own: list[bool] = []
    for pair in chosen:
        others = sorted({other.reply for other in history if other.session_id != pair.session_id} - {pair.reply})
        drawn = [others[int(i)] for i in rng.permutation(len(others))[:_OTHERS]]
        if drawn:
            queries += [pair.query] * (1 + len(drawn))
            replies += [pair.reply, *drawn]
            own += [True] + [False] * len(drawn)
    if sum(own) < _FEWEST_PAIRS:
        return ShopRelevance(None, sum(own), True)
    auc = area_under_curve(np.round(judge.relevance(queries, replies), _DECIMALS), own)
    assert auc is not None  # every pair stands beside another's reply
    return ShopRelevance(auc, sum(own), auc >= min_auc)
