"""Products with frozen matrices."""

import pytest
import torch

from ecc_fed.end_model.base import load_base
from ecc_fed.end_model.engines.shared.frozen_matrix import dequantize
from ecc_fed.end_model.engines.shared.taking_apart import take_apart

CPU = torch.device("cpu")


def test_bf16_products_keep_activations_in_fp32(llama):
    model = load_base(llama, device="cpu").model
    base = take_apart(model, CPU, torch.bfloat16)
    assert base.head.d_out == base.embedding.shape[0]
    assert base.head.weight().dtype == torch.bfloat16 and base.dtype == torch.float32
    x = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    matrix = base.layers[0].attention_in.matrix
    product = matrix.product(x)
    assert product.dtype == torch.float32
    torch.testing.assert_close(product, x @ matrix.weight().float().t(), atol=0.05, rtol=0.02)


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_weights_of_one_shape_are_dequantized_into_one_buffer(llama, quantization):
    pytest.importorskip("bitsandbytes")
    model = load_base(llama, quantization, "cpu").model
    modules = [block.self_attn for block in model.model.layers]
    expected = [
        torch.cat([dequantize(getattr(one, f"{name}_proj"), torch.float32) for name in "qkv"]) for one in modules
    ]
    first, second = (layer.attention_in.matrix for layer in take_apart(model, CPU).layers)
    assert torch.equal(first.weight(), expected[0]) and not torch.equal(expected[0], expected[1])
    assert torch.equal(second.weight(), expected[1])
    assert first.weight().data_ptr() == second.weight().data_ptr()
