"""A packed pass through the decoder."""

import pytest
import torch

from ecc_fed.end_model.engines.shared.forward import forward_packed
from ecc_fed.end_model.engines.shared.packing import pack
from ecc_fed.end_model.engines.shared.taking_apart import take_apart

from ...tiny_models import FAMILIES, build_model

CPU = torch.device("cpu")


def one_bias():
    """A base with a bias on one of the projections that share an input."""
    model = build_model("llama").eval()
    attention = model.model.layers[1].self_attn
    attention.k_proj.bias = torch.nn.Parameter(torch.linspace(-1, 1, attention.k_proj.out_features))
    return model


@pytest.mark.parametrize("family", [*FAMILIES, "a bias"])
def test_a_packed_pass_equals_transformers_on_every_sequence(family):
    model = build_model(family).eval() if family in FAMILIES else one_bias()
    sequences = [list(range(5, 5 + length)) for length in (3, 40, 4, 17, 40, 1, 8, 10, 7)]
    with torch.no_grad():
        expected = torch.cat([model(torch.tensor([s])).logits[0] for s in sequences])
    base = take_apart(model, CPU)
    wanted = [range(len(s)) for s in sequences]
    packed = pack(sequences, wanted, [2, 7], [0, 1], CPU)
    with torch.no_grad():
        logits = base.logits(forward_packed(base, packed, None))
    torch.testing.assert_close(logits, expected, atol=2e-5, rtol=1e-4)
