"""Was this text in an update? By the residuals of its hidden states (after ProjRes, Deng et al., arXiv 2604.21197).

In deeper layers the input x_t of an adapted module depends on all tokens before t, so a text that was trained on has
inputs that no other has. The attacker runs the text through the model as the round began, and asks how much of its
inputs lies in what the update of A spans (`span`), module by module.

    score = - mean over places m and tokens t of ||x_mt - P_m x_mt|| / ||x_mt||

where the modules that read one input are one place m, and P_m projects onto the rows of all their updates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ecc_fed.privacy.attacks.span import Floats, residuals, row_space


def place_bases(updates: Mapping[str, Sequence[npt.ArrayLike]], metrics: Mapping[str, Floats]) -> dict[str, Floats]:
    """By place the basis (rank, d) of what its modules' updates (rank of A, d) span, in the place's metric (d, d).

    A place whose updates are zero is left out.
    """
    bases = {
        place: row_space([np.asarray(each, np.float64) @ metrics[place] for each in matrices])
        for place, matrices in updates.items()
    }
    return {place: basis for place, basis in bases.items() if len(basis)}


def text_score(inputs: Mapping[str, npt.ArrayLike], bases: Mapping[str, Floats]) -> float:
    """The higher the likelier that the text was in the update; -1 where no place says anything.

    Args:
        inputs: by place, the text's inputs (tokens, d) in the place's metric.
        bases: as `place_bases`.
    """
    means = [float(residuals(inputs[place], basis).mean()) for place, basis in bases.items()]
    return -float(np.mean(means)) if means else -1.0
