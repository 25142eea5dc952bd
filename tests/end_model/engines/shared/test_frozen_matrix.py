"""Products with frozen matrices."""

import torch

from ecc_fed.end_model.base import load_base
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
