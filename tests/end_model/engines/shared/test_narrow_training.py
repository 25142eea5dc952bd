"""The GPU's way in bf16, by its plain forms on the CPU, against peft in fp32 on the embedded model."""

import numpy as np
import pytest

from ecc_fed.assembly.build import EMBEDDED
from ecc_fed.core.records import Example, FineTuneJob, FineTuneSettings, Turn
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.engines.shared.compute_plan import GPU_PLAIN

from ...opening import peft_engine, shared_engine
from .test_gpu_way import of_update

PAIRS = (
    ("你好请问这个什么时候发货", "亲，今天下午发货哦"),
    ("我的包裹到哪里了", "已经到上海了，明天派送"),
    ("可以退货吗", "七天内可以退货"),
    ("这件衣服有没有大码", "有的，最大到四码"),
)
EXAMPLES = tuple(Example((Turn("customer", query),), reply) for query, reply in PAIRS)


@pytest.fixture(scope="module")
def engines():
    settings = Lora(8, lora_dropout=0.0)
    path = str(EMBEDDED)
    return (
        peft_engine(path, settings),
        shared_engine(path, settings, base_products="bf16"),
        shared_engine(path, settings, base_products="bf16", plan=GPU_PLAIN),
    )


def runs(engines, **chosen):
    settings = FineTuneSettings(steps=20, batch_size=2, **chosen)
    job = FineTuneJob(engines[0].new_adapter(0), None, EXAMPLES, settings, 0)
    return job, [engine.fine_tune([job])[0] for engine in engines]


def test_20_steps_that_follow_the_gradient_are_within_2e_2_of_the_update(engines):
    """So large an epsilon leaves Adam's steps in proportion to the gradient."""
    job, (peft, _, narrow) = runs(engines, epsilon=1.0, learning_rate=0.5)
    assert peft.losses[-1] < 0.2 * peft.losses[0]
    assert np.abs(np.subtract(narrow.losses, peft.losses)).max() < 0.03
    assert of_update(peft.adapter, narrow.adapter, job.adapter) < 2e-2


def test_20_steps_of_adamw_are_not_much_further_off_than_bf16_products_alone(engines):
    """By its own epsilon Adam makes a whole step of the smallest gradient: bf16 products alone cost 4% to 5%."""
    job, (peft, products, narrow) = runs(engines, learning_rate=2e-3)
    assert peft.losses[-1] < 0.2 * peft.losses[0]
    assert np.abs(np.subtract(narrow.losses, peft.losses)).max() < 0.03
    off, floor = (of_update(peft.adapter, each.adapter, job.adapter) for each in (narrow, products))
    assert off < 1.4 * floor and off < 8e-2
