"""How many tokens a pass of fine-tuning takes on a CPU."""

from dataclasses import replace

import pytest
import torch

from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.engines.shared.compute_plan import CPU, GPU_PLAIN
from ecc_fed.end_model.engines.shared.forward import forward_packed
from ecc_fed.end_model.engines.shared.pass_tokens import kept_bytes, training_pass_tokens
from ecc_fed.end_model.engines.shared.taking_apart import take_apart
from ecc_fed.end_model.limits import BATCH_TOKENS, TokenLimits

from ...opening import shared_engine
from ...tiny_models import build_model
from .test_gpu_way import jobs_for


@pytest.fixture
def base():
    return take_apart(build_model("qwen2"), torch.device("cpu"))


def bounded(base, tokens):
    base.plan = replace(CPU, kept_bytes=tokens * kept_bytes(base))
    return base


@pytest.mark.parametrize(("fitting", "found"), [(100, 512), (700, 512), (1000, 768), (2048, 2048), (9000, 4096)])
def test_a_pass_keeps_no_more_than_allowed_in_steps_of_256(base, fitting, found):
    assert training_pass_tokens(bounded(base, fitting), TokenLimits()) == found


def test_settings_go_first_and_a_small_base_has_whole_passes(base):
    assert training_pass_tokens(bounded(base, 1), TokenLimits(batch_tokens=3000)) == 3000
    base.plan = CPU
    assert training_pass_tokens(base, TokenLimits()) == BATCH_TOKENS
    base.plan = replace(GPU_PLAIN)
    assert training_pass_tokens(base, TokenLimits()) == BATCH_TOKENS


def test_fine_tuning_takes_such_passes(bases, monkeypatch):
    from ecc_fed.end_model.engines.shared import engine as module

    engine = shared_engine(bases["qwen2"], Lora(4))
    taken, train = [], module.train_batch

    def noted(base, bank, jobs, dropout, tokens):
        taken.append(tokens)
        return train(base, bank, jobs, dropout, tokens)

    monkeypatch.setattr(module, "train_batch", noted)
    (job,) = jobs_for(engine, (4,), steps=1)
    engine.fine_tune([job])
    bounded(engine.packed_base, 1000)
    engine.fine_tune([job])
    engine.training_tokens = 333  # as a host has measured
    engine.fine_tune([job])
    assert taken == [BATCH_TOKENS, 768, 333]


def test_what_a_token_keeps_is_about_what_autograd_saves(base):
    """Counted on the graph itself: everything saved that has a row for each token."""
    from ecc_fed.end_model.engines.shared.active_adapters import ActiveAdapters
    from ecc_fed.end_model.engines.shared.bank import AdapterLayout
    from ecc_fed.end_model.engines.shared.packing import pack_examples
    from ecc_fed.end_model.training.examples import EncodedExample

    tokens = 60
    example = EncodedExample([(7 * place) % 90 + 3 for place in range(tokens)], tokens - 2)
    packed, _ = pack_examples([example], [1], [0], base.device, base.training_groups)
    layout = AdapterLayout(base, 4, "all-linear")
    flat = torch.zeros(1, layout.size)
    adapters = ActiveAdapters(layout, flat, torch.ones(1), flat.clone())
    saved = {}

    def pack(tensor):
        if tensor.dim() and tensor.shape[0] == tokens:
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        hidden = forward_packed(base, packed, adapters, training=True)
    assert hidden.requires_grad
    # The last layer goes on with the labels alone, which matters in a base of two layers.
    assert 0.4 < sum(saved.values()) / tokens / kept_bytes(base) < 1.2
