"""Control variates: which way a shop pulls, and which way all do (Karimireddy et al. 2020, "SCAFFOLD", Algorithm 1).

    symbol   argument      is
    x                      what the shops start the round from
    y_i                    the shop's tensors after its K steps of the round
    eta_l                  the rate of a step
    g_i(y)                 the gradient of a step, at y
    c_i      `own`         the shop's variate: which way its gradients point
    c        `server`      the server's: the mean of all shops' c_i

A step goes along g_i(y) - c_i + c (`correction` is c - c_i), and the paper's option II then sets

    c_i+ = c_i - c + (x - y_i) / (K eta_l)

which for plain steps of one rate is the mean of the round's K gradients g_i(y). That mean is what is taken here
(`gradient`), whatever the optimizer: Adam's steps are of the rate's size and no sums of gradients, so that
(x - y_i) / (K eta_l) would be a mean of signs. The correction is added to the gradient before Adam's moments: after the
bound on the gradient's norm, which holds for the g_i(y) of c_i as well, and beside FedProx's pull, which is no part of
c_i.
"""

from __future__ import annotations

import numpy as np

from ecc_fed.core.records import AdapterState, Array


def correction(server: AdapterState, own: AdapterState) -> dict[str, Array]:
    """c - c_i by tensor; a variate that has not begun is zero."""
    names = [*server, *(name for name in own if name not in server)]
    return {name: _of(server, own, name) - _of(own, server, name) for name in names}


def _of(wanted: AdapterState, other: AdapterState, name: str) -> Array:
    return wanted[name] if name in wanted else np.zeros_like(other[name])


def moved(variate: AdapterState, change: AdapterState, share: float = 1.0) -> dict[str, Array]:
    """The variate plus `share` of the change, in fp64, kept as fp32: of one shop it is the same on either side."""
    begun = {**{name: np.zeros_like(tensor) for name, tensor in change.items()}, **variate}
    return {
        name: (tensor.astype(np.float64) + share * change[name].astype(np.float64)).astype(np.float32)
        if name in change
        else tensor
        for name, tensor in begun.items()
    }


def change_to(gradient: AdapterState, own: AdapterState) -> dict[str, Array]:
    """c_i+ - c_i for c_i+ = `gradient`."""
    return {name: tensor - _of(own, gradient, name) for name, tensor in gradient.items()}
