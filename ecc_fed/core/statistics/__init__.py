"""Confidence intervals by a seeded bootstrap over shops, dialogues and rows; correlations and agreement. numpy only.

Percentile bootstrap (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 16): draw the rows'
units with replacement (`Units`), recompute the figure, repeat, and take the central 95% of what came out.

An interval speaks of other shops and dialogues of the same kind; where the rows know only one shop, of other dialogues
of it. It never speaks of other seeds: a handful of them says too little. Where every row has the same value it has no
width, which is not certainty.

How often an interval of 95% holds the truth: normal values, 40 dialogues a shop, two rows a dialogue, 200 trials a cell
(so give or take 3 points), by the share of the variance that lies between shops:

| | 0 | 0.02 | 0.1 | 0.3 |
|---|---|---|---|---|
| 4 shops | 99% | 97% | 88% | 80% |
| 6 shops | 100% | 95% | 91% | 88% |
| 12 shops | 99% | 95% | 91% | 90% |
| 18 shops | 100% | 98% | 95% | 93% |
| 4 shops, rows drawn by themselves | 87% | 75% | 48% | 27% |

Few shops that differ much give too narrow an interval, and shops that do not differ at all too wide a one; so an
`Estimate` carries how many shops stand behind it. Wider tails for few shops (Hesterberg 2015) would hold the truth of 4
shops in 93% to 100% of trials, at 1.5 to 1.6 times the width, also where shops hardly differ.
"""

from ecc_fed.core.statistics.accusations import true_positive_rate
from ecc_fed.core.statistics.association import (
    area_under_curve,
    bootstrap_auc,
    bootstrap_correlation,
    bootstrap_kappa,
    pearson,
    ranks,
    spearman,
)
from ecc_fed.core.statistics.divergence import unlikeness
from ecc_fed.core.statistics.rank_correlation import bootstrap_rank_correlation
from ecc_fed.core.statistics.ratios import (
    bootstrap_mean,
    bootstrap_paired_difference,
    bootstrap_ratio_differences,
    bootstrap_ratios,
    weighted_mean,
)
from ecc_fed.core.statistics.resampling import Estimate
from ecc_fed.core.statistics.units import Units, Values

__all__ = [
    "Estimate",
    "Units",
    "Values",
    "area_under_curve",
    "bootstrap_auc",
    "bootstrap_correlation",
    "bootstrap_kappa",
    "bootstrap_mean",
    "bootstrap_paired_difference",
    "bootstrap_rank_correlation",
    "bootstrap_ratio_differences",
    "bootstrap_ratios",
    "pearson",
    "ranks",
    "spearman",
    "true_positive_rate",
    "unlikeness",
    "weighted_mean",
]
