"""How many tokens a pass of fine-tuning takes where nobody has measured it."""

from __future__ import annotations

from ecc_fed.end_model.engines.shared.packed_base import PackedBase
from ecc_fed.end_model.limits import TokenLimits

# More tokens gain nothing where the processor multiplies at its full rate, which it does from a few hundred rows on.
_FEWEST, _STEP = 512, 256


def kept_bytes(base: PackedBase) -> int:
    """What training keeps of a token on its way forward: inputs of all products, of the norms and of the activation."""
    numbers = 0
    for layer in base.layers:
        inputs = sum(stack.d_in for stack in layer.stacks)
        residuals = 2 * layer.attention_in.d_in
        opened = layer.attention_in.projections[-1].stop + layer.mlp_in.projections[-1].stop
        numbers += inputs + residuals + opened
    return numbers * base.training_dtype.itemsize


def training_pass_tokens(base: PackedBase, limits: TokenLimits) -> int:
    """As the settings say; else so many that they keep no more than the device's plan allows.

    A function of the base's shape alone, so that a run has the same passes, and with them the same last bits, on every
    machine.
    """
    most, allowed = limits.pass_tokens, base.plan.kept_bytes
    if limits.batch_tokens is not None or allowed is None:
        return most
    fitting = allowed // kept_bytes(base) // _STEP * _STEP
    return min(most, max(_FEWEST, fitting))
