"""Confidence intervals by a seeded bootstrap over shops, dialogues and rows; correlations and agreement. numpy only.

Percentile bootstrap (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 16): draw the rows'
units with replacement (`Units`), recompute the figure, repeat, and take the central 95% of what came out.

An interval speaks of other shops and dialogues of the same kind; where the rows know only one shop, of other dialogues
of it. It never speaks of other seeds: a handful says too little. Where every row has the same value it has no width,
which is not certainty. How often an interval of 95% holds the truth (normal values, 40 dialogues a shop, two rows a
dialogue; the intraclass correlation is the share of the variance that lies between shops):

COVERAGE_TABLE

So few shops that differ much give too narrow an interval, and shops that do not differ at all too wide a one. That is
why an `Estimate` carries how many shops stand behind it. Single rows drawn by themselves, with 4 shops: 87%, 75%, 48%
and 27%.
"""

from ecc_fed.core.statistics.association import (
    bootstrap_auc,
    bootstrap_correlation,
    bootstrap_kappa,
    pearson,
    ranks,
    spearman,
)
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
    "bootstrap_auc",
    "bootstrap_correlation",
    "bootstrap_kappa",
    "bootstrap_mean",
    "bootstrap_paired_difference",
    "bootstrap_ratio_differences",
    "bootstrap_ratios",
    "pearson",
    "ranks",
    "spearman",
    "weighted_mean",
]
