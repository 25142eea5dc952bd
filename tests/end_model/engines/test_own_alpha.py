"""A job's own lora_alpha is an engine that was made with it."""

from dataclasses import replace

import numpy as np
import pytest

from ecc_fed.core.records import (
    Decoding,
    Example,
    FineTuneJob,
    FineTuneSettings,
    LikelihoodRequest,
    ReplyRequest,
    Turn,
)
from ecc_fed.end_model.adapters.low_rank import Lora, RsLora
from ecc_fed.evolution.own_alpha import AtAlpha

from ..drawing import lively
from ..opening import peft_engine, shared_engine
from ..tiny_models import save_base

EXAMPLES = tuple(Example((Turn("customer", "问" * (1 + i)),), reply) for i, reply in enumerate(("亲，发顺丰", "在的")))
SETTINGS = FineTuneSettings(steps=3, batch_size=2, learning_rate=1e-2)
OWN, USUAL = 20.0, 8.0


@pytest.mark.parametrize("kind", [Lora, RsLora])
@pytest.mark.parametrize("open_engine", [peft_engine, shared_engine])
def test_it_serves_and_trains_as_an_engine_of_that_alpha(tmp_path, kind, open_engine):
    base = save_base(tmp_path, "llama")
    wanted, engine = (open_engine(base, kind(rank=2, lora_alpha=a, lora_dropout=0.0)) for a in (OWN, USUAL))
    shop, adapter = AtAlpha(engine, OWN), lively(engine.shapes, 1)
    job = FineTuneJob(adapter, None, EXAMPLES, SETTINGS, 5)
    ours, theirs = shop.fine_tune([job])[0], wanted.fine_tune([job])[0]
    plain = engine.fine_tune([job])[0]
    for name, tensor in theirs.adapter.items():
        assert np.array_equal(ours.adapter[name], tensor)
    assert ours.losses == theirs.losses != plain.losses
    held_out = LikelihoodRequest(adapter, EXAMPLES)
    assert shop.likelihood([held_out]) == wanted.likelihood([held_out]) != engine.likelihood([held_out])
    asked = ReplyRequest(adapter, tuple(example.prompt for example in EXAMPLES), Decoding(4, sample=False), 0)
    assert shop.measured_reply([asked]) == wanted.measured_reply([asked])
    assert shop.reply([asked]) == wanted.reply([asked])
    assert (shop.count_tokens("在的"), shop.tokenizer) == (engine.count_tokens("在的"), engine.tokenizer)
    # One adapter asked for at two scales in one batch is two.
    both = engine.likelihood([replace(held_out, lora_alpha=OWN), held_out])
    np.testing.assert_allclose(
        [each.nll_nats for part in both for each in part],
        [each.nll_nats for one in (wanted, engine) for each in one.likelihood([held_out])[0]],
        rtol=1e-5,
    )
