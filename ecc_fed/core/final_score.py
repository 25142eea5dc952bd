"""Eq. (1) of the paper, as plain arithmetic on arrays."""

from __future__ import annotations

import numpy as np

from ecc_fed.core.records import Array


def final_score(
    similarity: Array, relevance: Array, cloud_relevance: Array, score_alpha: float, relevance_floor: float
) -> Array:
    """The final score of every reply.

    symbol   argument          range   meaning                                   source
    Q                                  the customer's query
    R_e, R_c                           the end model's and the cloud's reply
    S        similarity        0..1    S(R_e, R_c), SimBERT                      Sec. III
    M        relevance         0..1    M(Q, R_e), RocketQA                       Sec. III
    M_c      cloud_relevance   0..1    M(Q, R_c)                                 Sec. III
    alpha    score_alpha       0..1    weight of the similarity, 0.8             Eq. (1)
    Theta    relevance_floor   0..1    below it M does not know this query, 0.2  Sec. III

        score = alpha S + (1 - alpha) M    if M_c >= Theta
        score = S                          if M_c <  Theta

    All arrays are (pairs,), the result too.
    """
    mixed = score_alpha * similarity + (1.0 - score_alpha) * relevance
    return np.where(cloud_relevance < relevance_floor, similarity, mixed).astype(np.float32)
