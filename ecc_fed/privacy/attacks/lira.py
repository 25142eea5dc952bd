"""Was this pair trained on? By how it stands among adapters that never saw it (LiRA, Carlini et al. 2022, offline).

| symbol | argument | range | source |
|---|---|---|---|
| l(x), mean loss of the reply's tokens | `scores` = -l | at most 0 | - |
| phi(x) = log(p / (1 - p)), p = exp(-l) | `logit_scale` | finite | Eq. (4), Sec. VI-A |
| mu_out(x), mean of phi over out-models | `out` | - | Sec. VI-B |
| sigma, one for all x | `offline_lira` | above 0 | Sec. VI-C: few shadows |

score = (phi(x) - mu_out(x)) / sigma. It orders pairs as the one-sided test 1 - Pr[N(mu_out, sigma^2) > phi] does,
without its rounding far out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ecc_fed.privacy.attacks.membership import Floats

# phi of pairs, (shadows, pairs).
Logits = Floats
# Where p rounds to 1, phi is bounded.
_LEAST_LOSS = 1e-7


def logit_scale(scores: npt.ArrayLike) -> Floats:
    """phi of minus mean losses: -l - log(1 - e^-l)."""
    losses = np.maximum(-np.asarray(scores, dtype=np.float64), _LEAST_LOSS)
    return np.asarray(-losses - np.log(-np.expm1(-losses)), dtype=np.float64)


def offline_lira(scores: npt.ArrayLike, out: Logits) -> Floats:
    """The score of every pair, the higher the likelier a member.

    Args:
        scores: minus the mean losses (pairs,) under the attacked adapter, as `loss_score`.
        out: phi (shadows, pairs) under adapters that never saw them.

    Returns:
        (pairs,). With a single shadow nothing is known of the spread, and sigma is 1.

    Raises:
        ValueError: there is no shadow, or their pairs are others.
    """
    found = np.asarray(out, dtype=np.float64)
    values = logit_scale(scores)
    if found.ndim != 2 or not len(found) or found.shape[1:] != values.shape:
        raise ValueError(f"out must have shape (shadows, {len(values)}) with a shadow at least, got {found.shape}")
    mean = found.mean(axis=0)
    # All pairs' deviations together: a few shadows tell too little of one pair's own.
    sigma = float(np.sqrt(((found - mean) ** 2).sum() / ((len(found) - 1) * found.shape[1]))) if len(found) > 1 else 1.0
    return np.asarray((values - mean) / (sigma if sigma > 0 else 1.0), dtype=np.float64)
