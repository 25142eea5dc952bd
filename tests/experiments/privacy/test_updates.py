"""One update on the embedded model: what is read from it undefended, and what defences leave."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from ecc_fed.assembly.build import EMBEDDED
from ecc_fed.core.records import AdapterState, Example, Turn
from ecc_fed.corpus.simulator import SimulatorCorpus
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.engines.opening import open_engine
from ecc_fed.end_model.engines.shared.engine import SharedEngine
from ecc_fed.end_model.settings import EndModelSettings
from ecc_fed.end_model.training.record_privacy import RecordPrivacy
from experiments.privacy.aggregator import REPLY_BY_B, TEXT_BY_A, TEXT_BY_B, TOKENS_BY_A, Aggregator, Figures
from experiments.privacy.inside import Inside
from experiments.privacy.rounds import FROZEN_A, WORKS, Draw, draw, noisy, summed, updates

SETTINGS, LORA = EndModelSettings(path=str(EMBEDDED), device="cpu"), Lora(rank=8, lora_dropout=0.0)
STEP = WORKS["step"]


@pytest.fixture(scope="module")
def model() -> SharedEngine:
    found = open_engine(SETTINGS, LORA)
    assert isinstance(found, SharedEngine)
    return found


@pytest.fixture(scope="module")
def start(model: SharedEngine) -> AdapterState:
    """As after a round: B is no longer zero."""
    rng = np.random.default_rng(0)
    fresh = model.new_adapter(0)
    return {n: t if ".lora_A." in n else rng.normal(0, 0.02, t.shape).astype(np.float32) for n, t in fresh.items()}


@pytest.fixture(scope="module")
def inside(start: AdapterState) -> Inside:
    return Inside(SETTINGS.path, start, LORA.scale, SETTINGS)


@pytest.fixture(scope="module")
def world(inside: Inside, start: AdapterState) -> tuple[Aggregator, list[Draw]]:
    shops = SimulatorCorpus(num_shops=4, seed=1).shops()
    own = [Example(pair.prompt, pair.reply) for pair in shops[0].history]
    examples = {Example(p.prompt, p.reply) for shop in shops for p in (*shop.history, *shop.stream)}
    lengths = {each: len(inside.encode(each).ids) for each in examples}
    return Aggregator(inside, start, own), [draw(shop, STEP, lengths, 0) for shop in shops[1:]]


def figures(world: tuple[Aggregator, list[Draw]], found: list[AdapterState], place: int = 0) -> dict[str, Figures]:
    aggregator, draws = world
    return aggregator.attack(found[place], aggregator.target(draws[0]))


def test_an_undefended_step_tells_its_tokens_and_its_text_and_another_shops_step_does_not(
    model: SharedEngine, start: AdapterState, world: tuple[Aggregator, list[Draw]]
) -> None:
    found = updates(model, start, world[1], STEP, 0)
    there, control = figures(world, found), figures(world, found, 1)
    tokens = there[TOKENS_BY_A]
    assert tokens.recall is not None and tokens.recall >= 0.9 and tokens.certain is not None and tokens.certain >= 0.9
    assert tokens.precision == 1.0 and there[TEXT_BY_A].auc == 1.0
    assert (there[REPLY_BY_B].recall or 0) > 0.5 and (there[TEXT_BY_B].auc or 0) > 0.9
    assert (control[TOKENS_BY_A].recall or 0) < 0.5 and (control[REPLY_BY_B].recall or 0) < 0.4


def test_noise_hides_both_and_a_frozen_a_the_prompt_alone(
    model: SharedEngine, start: AdapterState, world: tuple[Aggregator, list[Draw]]
) -> None:
    private = figures(world, updates(model, start, world[1][:1], STEP, 0, rule=RecordPrivacy(1.0, 1.0)))
    assert all((private[name].recall or 0) <= 0.15 for name in (TOKENS_BY_A, REPLY_BY_B))
    moved = updates(model, start, world[1][:1], STEP, 0, trained=FROZEN_A)
    assert not any(moved[0][name].any() for name in moved[0] if ".lora_A." in name)
    frozen = figures(world, moved)
    assert frozen[TOKENS_BY_A].auc == frozen[TEXT_BY_A].auc == 0.5 and (frozen[TOKENS_BY_A].recall or 0) < 0.02
    assert (frozen[REPLY_BY_B].recall or 0) > 0.5, "its columns still tell the reply"


def test_adamws_update_is_what_it_made_of_the_start(
    model: SharedEngine, start: AdapterState, world: tuple[Aggregator, list[Draw]]
) -> None:
    one = replace(STEP, steps=1, plain_step=False)
    stepped = updates(model, start, world[1][:1], one, 0)[0]
    plain = updates(model, start, world[1][:1], STEP, 0)[0]
    name = next(iter(start))
    # Its first step is the gradient's sign, as far as the gradient stands out of epsilon.
    large = np.abs(plain[name]) > 1e-5
    assert np.array_equal(np.sign(stepped[name][large]), -np.sign(plain[name][large]))


def test_a_mean_holds_five_and_without_one_it_holds_the_next() -> None:
    found: list[AdapterState] = [{"x": np.array([float(each)], np.float32)} for each in (1, 2, 4, 8)]
    assert summed(found, 3, 2)["x"] == [4.5]
    assert summed(found, 3, 2, with_it=False)["x"] == [1.5]


def test_what_modules_read_is_what_they_read_under_the_adapter(inside: Inside, start: AdapterState) -> None:
    assert [len(modules) for modules in inside.places.values()] == [3, 1, 2, 1] * 4
    example = Example((Turn("customer", "发什么快递"),), "亲，发圆通")
    read = inside.inputs(example)
    ids = inside.encode(example).ids
    first, *_ = inside.places
    assert np.allclose(read[first], inside.first_inputs[ids[:-1]], atol=1e-5), "no position, no neighbour"
    # By hand: the second attention's input is the norm of the first block's output, B A beside every matrix.
    model = AutoModelForCausalLM.from_pretrained(SETTINGS.path, dtype=torch.float32)
    with torch.no_grad():
        for name in start:
            if ".lora_A." in name:
                module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
                product = start[name.replace("lora_A", "lora_B")] @ start[name]
                model.get_submodule(module).weight += torch.tensor(LORA.scale * product)
        states = model(input_ids=torch.tensor([ids[:-1]]), output_hidden_states=True).hidden_states
        expected = model.model.layers[1].input_layernorm(states[1])[0]
    second = list(inside.places)[4]
    assert "layers.1.self_attn" in second and np.allclose(read[second], expected.numpy(), atol=1e-4)


def test_draws_are_of_the_seed_and_of_the_length_and_outsiders_are_no_members(inside: Inside) -> None:
    shop = SimulatorCorpus(num_shops=1, seed=2).shops()[0]
    lengths = {
        e: len(inside.encode(e).ids) for e in {Example(p.prompt, p.reply) for p in (*shop.history, *shop.stream)}
    }
    one, again, other = (draw(shop, STEP, lengths, seed) for seed in (0, 0, 1))
    assert one == again and one.inside != other.inside
    assert all(18 <= lengths[each] <= 22 for each in (*one.inside, *one.outside))
    batch = draw(shop, WORKS["batch"], lengths, 0)
    assert len(set(batch.inside)) == 8 and len(batch.outside) == 20 and not set(batch.inside) & set(batch.outside)
    with pytest.raises(ValueError, match="has 0 pairs of 1 to 2 tokens"):
        draw(shop, replace(STEP, tokens=(1, 2)), lengths, 0)


def test_the_noise_is_that_of_a_run() -> None:
    pytest.importorskip("opacus")
    weak, strong = noisy(8.0, 60), noisy(2.0, 60)
    assert weak.clipping_norm == 1.0 and 0.5 < weak.noise_multiplier < strong.noise_multiplier
