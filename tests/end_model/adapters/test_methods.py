"""Every adapter method: against plain peft, through files, resumed, and averaged."""

import json
from dataclasses import fields

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, PrefixTuningConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from ecc_fed.core.errors import ConfigError, ModelError
from ecc_fed.core.gradient_rule import epoch_batches
from ecc_fed.core.records import (
    Decoding,
    Example,
    FineTuneJob,
    FineTuneSettings,
    LikelihoodRequest,
    ReplyRequest,
    Turn,
)
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.end_model.adapters.files import load_adapter, save_adapter
from ecc_fed.end_model.adapters.low_rank import Lora, RsLora
from ecc_fed.end_model.adapters.prefix import PrefixTuning, PTuningV2
from ecc_fed.end_model.adapters.settings import METHODS, AdapterChoice, adapter_settings
from ecc_fed.end_model.adapters.tensors import check_adapter
from ecc_fed.end_model.text.decoding import decode_reply
from ecc_fed.end_model.text.prompting import encode_prompt
from ecc_fed.end_model.training.examples import encode_example
from ecc_fed.end_model.training.record_privacy import RecordPrivacy
from ecc_fed.evolution.shop_state import ShopState, load_state, save_state
from ecc_fed.federation.aggregation.averaging import weighted_mean
from ecc_fed.federation.aggregation.product_error import product_error
from ecc_fed.federation.wire.arrays import from_arrays, to_arrays

from ..opening import peft_engine, shared_engine
from ..tiny_models import build_tokenizer

REPLIES = ["亲，发顺丰。", "在的", "今天 18 点前付款当天发出哦", "九块九", "可以退"]
EXAMPLES = tuple(Example((Turn("customer", f"问题{'很' * i}{i}？"),), reply) for i, reply in enumerate(REPLIES))
PROMPTS = tuple(example.prompt for example in EXAMPLES)
GREEDY = Decoding(max_new_tokens=8, sample=False)
ARGUMENTS = {
    "lora": {"rank": 4, "lora_dropout": 0.0},
    "rslora": {"rank": 4, "lora_alpha": 16.0, "lora_dropout": 0.0},
    "dora": {"rank": 4, "lora_dropout": 0.0},
    "prefix_tuning": {"num_virtual_tokens": 5, "encoder_hidden_size": 12},
    "p_tuning_v2": {"num_virtual_tokens": 5},
}
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def build(path, method, quantization="none", batch_tokens=4096, **changed):
    settings = adapter_settings(method, **{**ARGUMENTS[method], **changed})
    return peft_engine(path, settings, quantization, batch_tokens=batch_tokens)


@pytest.fixture(scope="module")
def engines(bases):
    return {method: build(bases["llama"], method) for method in METHODS}


@pytest.fixture(params=METHODS)
def engine(request, engines):
    return engines[request.param]


def lively(engine, seed=0):
    """An adapter off its start in every tensor."""
    generator = np.random.default_rng(seed)
    return {
        name: (array + generator.normal(0, 0.1, array.shape)).astype(np.float32)
        for name, array in engine.new_adapter(seed).items()
    }


def plain_peft(path, method, state=None):
    """The method as peft's own user would set it up; parameters by name without the adapter's."""
    if method in ("prefix_tuning", "p_tuning_v2"):
        config = PrefixTuningConfig(
            task_type="CAUSAL_LM",
            num_virtual_tokens=5,
            prefix_projection=method == "prefix_tuning",
            encoder_hidden_size=12,
        )
    else:
        config = LoraConfig(
            r=4,
            lora_alpha=16 if method == "rslora" else 32,
            lora_dropout=0.0,
            target_modules=MODULES,
            use_dora=method == "dora",
            use_rslora=method == "rslora",
            task_type="CAUSAL_LM",
        )
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(path), config).eval()
    parameters = {
        name.replace(".default", "").replace("magnitude_vector.weight", "magnitude_vector"): parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    if state is not None:
        assert parameters.keys() == state.keys()
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(torch.tensor(state[name]))
    return model, parameters


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


def same(left, right):
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def test_fine_tuning_equals_a_plain_peft_loop(engine, llama):
    """One example a forward pass, its own masks, torch's AdamW."""
    # A large epsilon keeps Adam from amplifying rounding in gradients near zero.
    settings = FineTuneSettings(
        steps=5,
        batch_size=3,
        learning_rate=1e-2,
        linear_decay=True,
        weight_decay=0.1,
        clipping_norm=0.5,
        epsilon=1e-3,
    )
    job = FineTuneJob(lively(engine), None, EXAMPLES, settings, seed=0, decay_steps=9)
    result = engine.fine_tune([job])[0]
    model, parameters = plain_peft(llama, engine.settings.method, job.adapter)
    optimizer = torch.optim.AdamW(parameters.values(), lr=1e-2, eps=1e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: max(0.0, 1 - t / 9))
    order, losses = epoch_batches(len(EXAMPLES), 3, job.seed), []
    for _ in range(5):
        batch = [encode_example(engine.tokenizer, EXAMPLES[index], 256, 512) for index in next(order)]
        total = sum(example.label_tokens for example in batch)
        loss = torch.zeros(())
        for example in batch:
            ids = torch.tensor([example.ids])
            log_p = torch.log_softmax(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0], -1)
            for position in range(example.prompt_length, len(example.ids)):
                loss = loss - log_p[position - 1, example.ids[position]] / total
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), 0.5)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    assert result.losses == pytest.approx(losses, abs=1e-5)
    for name, parameter in parameters.items():
        assert np.abs(parameter.detach().numpy() - result.adapter[name]).max() < 1e-5
        assert np.abs(result.adapter[name] - job.adapter[name]).max() > 1e-4


def test_a_saved_adapter_opens_in_peft_with_the_same_logits(engine, llama, tmp_path):
    state = lively(engine)
    ids = torch.arange(4, 40)[None]
    save_adapter(tmp_path / "adapter", state, engine.settings, llama)
    reopened = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(llama), tmp_path / "adapter")
    expected = logits(plain_peft(llama, engine.settings.method, state)[0], ids)
    # The prefix made by the MLP is computed once by numpy and once by torch.
    tolerance = 2e-5 if engine.settings.method == "prefix_tuning" else 0
    assert (logits(reopened, ids) - expected).abs().max() <= tolerance
    with engine._adapter(state):
        assert torch.equal(logits(engine.model, ids), expected)


def test_greedy_text_equals_peft_generate(engine, llama):
    state = lively(engine)
    replies = engine.reply([ReplyRequest(state, PROMPTS, GREEDY, 0)])[0]
    model, _ = plain_peft(llama, engine.settings.method, state)
    for prompt, reply in zip(PROMPTS, replies, strict=True):
        ids = torch.tensor([encode_prompt(engine.tokenizer, prompt, 256)])
        with torch.no_grad():
            output = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=8, pad_token_id=0
            )
        assert reply == decode_reply(engine.tokenizer, output[0, ids.shape[1] :].tolist())
    assert len(set(replies)) > 1


def test_likelihood_and_replies_depend_on_the_adapter_and_not_on_the_batch(engine, llama):
    state, other = lively(engine), lively(engine, 1)
    found = engine.likelihood([LikelihoodRequest(each, EXAMPLES) for each in (state, None, other)])
    assert engine.likelihood([LikelihoodRequest(state, EXAMPLES)])[0] == found[0]
    assert len({round(row[2].nll_nats, 3) for row in found}) == 3
    tight = build(llama, engine.settings.method, batch_tokens=1)
    alone = tight.likelihood([LikelihoodRequest(state, EXAMPLES)])[0]
    assert [one.nll_nats for one in alone] == pytest.approx([one.nll_nats for one in found[0]], rel=1e-5)
    decoding = Decoding(max_new_tokens=6)
    together = engine.reply([ReplyRequest(state, PROMPTS, decoding, 5)])
    assert tight.reply([ReplyRequest(state, PROMPTS, decoding, 5)]) == together
    bare = peft_engine(llama).reply([ReplyRequest(None, PROMPTS, GREEDY, 0)])
    assert engine.reply([ReplyRequest(None, PROMPTS, GREEDY, 0)]) == bare


def test_a_fresh_adapter_follows_its_seed_as_peft_draws_it(engine, llama):
    fresh = engine.new_adapter(0)
    torch.manual_seed(99)
    assert same(fresh, engine.new_adapter(0)) and not same(fresh, engine.new_adapter(1))
    assert all(array.dtype == np.float32 for array in fresh.values())
    _, drawn = plain_peft(llama, engine.settings.method)
    for name, parameter in drawn.items():
        deviation = float(parameter.detach().std())
        assert fresh[name].shape == tuple(parameter.shape)
        if fresh[name].size > 60:  # else chance alone
            assert fresh[name].std() == pytest.approx(deviation, rel=0.35), name
    if isinstance(engine.settings, Lora):
        bare, started = engine.likelihood([LikelihoodRequest(None, EXAMPLES), LikelihoodRequest(fresh, EXAMPLES)])
        assert [one.nll_nats for one in started] == pytest.approx([one.nll_nats for one in bare], rel=1e-6)


def test_state_and_optimizer_survive_the_disk_and_training_goes_on(engine, llama, tmp_path):
    settings = FineTuneSettings(steps=4, batch_size=len(EXAMPLES), linear_decay=True)
    halves = FineTuneSettings(steps=2, batch_size=len(EXAMPLES), linear_decay=True)
    whole = engine.fine_tune([FineTuneJob(lively(engine), None, EXAMPLES, settings, 3, decay_steps=10)])[0]
    first = engine.fine_tune([FineTuneJob(lively(engine), None, EXAMPLES, halves, 4, decay_steps=10)])[0]
    folder = RunDirectory(tmp_path).shop("a")

    def write(path, state):
        save_adapter(path, state, engine.settings, llama)

    save_state(folder, ShopState("a", 1, first.adapter, first.optimizer), write)
    stored = load_state(folder, 1)
    assert same(stored.adapter, first.adapter) and same(stored.optimizer, first.optimizer)
    assert load_adapter(folder / "round_0001" / "adapter")[1].method == engine.settings.method
    # Another engine, as after a restart.
    fresh = build(llama, engine.settings.method)
    second = fresh.fine_tune([FineTuneJob(stored.adapter, stored.optimizer, EXAMPLES, halves, 5, decay_steps=10)])[0]
    direct = engine.fine_tune([FineTuneJob(first.adapter, first.optimizer, EXAMPLES, halves, 5, decay_steps=10)])[0]
    assert same(second.adapter, direct.adapter) and same(second.optimizer, direct.optimizer)
    assert second.optimizer["step"] == 4
    assert [*first.losses, *second.losses] == pytest.approx(whole.losses, abs=1e-4)


def test_one_shops_average_is_its_adapter_and_replies_stay(engine, llama, tmp_path):
    job = FineTuneJob(engine.new_adapter(0), None, EXAMPLES, FineTuneSettings(steps=3), 0)
    adapter = engine.fine_tune([job])[0].adapter
    mean = weighted_mean([from_arrays(to_arrays(adapter))], [7])
    assert same(mean, adapter)
    save_adapter(tmp_path / "adapter", mean, engine.settings, llama)
    loaded, settings = load_adapter(tmp_path / "adapter")
    if isinstance(settings, PTuningV2):
        assert settings == engine.settings
    else:
        assert (settings.rank, settings.scale) == (engine.settings.rank, engine.settings.scale)
    before, after = (ReplyRequest(each, PROMPTS, Decoding(max_new_tokens=8), 1) for each in (adapter, loaded))
    assert engine.reply([before]) == engine.reply([after])
    check_adapter(weighted_mean([adapter, lively(engine)], [1, 3]), engine.shapes)


def test_the_product_error_is_of_low_rank_pairs_alone(engine):
    states = [lively(engine, seed) for seed in (0, 1)]
    error = product_error(weighted_mean(states, [1, 1]), 1.0, states, [1.0, 1.0], [1, 1]).total
    assert (error is None) == isinstance(engine.settings, PTuningV2)


def test_rslora_scales_every_rank_by_its_root(llama):
    shared = shared_engine(llama, RsLora(4, 6.0))
    assert shared.banks.scale([4, 9], [None, None]).tolist() == pytest.approx([3.0, 2.0])
    assert shared_engine(llama, Lora(4, 6.0)).banks.scale([4, 3, 3], [None, None, 12.0]).tolist() == [1.5, 2.0, 4.0]


@pytest.mark.parametrize("method", ["prefix_tuning", "p_tuning_v2", "dora"])
@pytest.mark.parametrize("family", ["qwen2", "glm"])
def test_other_families_learn_too(bases, family, method):
    modules = {"target_modules": ["q_proj", "k_proj", "v_proj"]}
    engine = build(bases[family], method, **modules)
    job = FineTuneJob(engine.new_adapter(0), None, EXAMPLES[:1], FineTuneSettings(steps=30, learning_rate=3e-2), 0)
    result = engine.fine_tune([job])[0]
    # A prefix can only turn the attention of a random base.
    assert result.losses[-1] < (0.5 if method == "dora" else 0.85) * result.losses[0]


@pytest.mark.parametrize("method", ["prefix_tuning", "dora"])
def test_a_quantized_base_bears_them(llama, method):
    pytest.importorskip("bitsandbytes")
    engine = build(llama, method, quantization="nf4")
    job = FineTuneJob(engine.new_adapter(0), None, EXAMPLES[:1], FineTuneSettings(steps=20, learning_rate=3e-2), 0)
    result = engine.fine_tune([job])[0]
    assert result.losses[-1] < 0.7 * result.losses[0]


@pytest.mark.parametrize("method", ["prefix_tuning", "p_tuning_v2"])
def test_learned_positions_start_behind_the_prefix(tmp_path, method):
    config = GPT2Config(vocab_size=272, n_positions=300, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=1)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    engine = build(str(tmp_path), method)
    state = lively(engine)
    ids = torch.arange(4, 20)[None]
    assert engine.shapes["prompt_encoder.embedding.weight"][0] == 5
    with engine._adapter(state):
        peft_logits = logits(engine.model, ids)[0, -1]
    from ecc_fed.end_model.engines.reference.generation import _PaddedBatch

    with torch.no_grad():
        batch = _PaddedBatch(engine.model, [ids[0].tolist(), [4, 5]], torch.device("cpu"), prefixed=True)
        assert (batch.first()[0] - peft_logits).abs().max() < 1e-4


def test_record_privacy_without_noise_and_bound_equals_plain_steps(engine):
    settings = FineTuneSettings(steps=2, batch_size=1, clipping_norm=1e9, epsilon=1e-3)
    one = EXAMPLES[:1]
    plain = engine.fine_tune([FineTuneJob(lively(engine), None, one, settings, 0)])[0]
    unbounded = RecordPrivacy(1e9, 0.0)
    private = engine.fine_tune([FineTuneJob(lively(engine), None, one, settings, 0, unbounded)])[0]
    for name, array in plain.adapter.items():
        assert np.abs(array - private.adapter[name]).max() < 1e-5


def test_combinations_that_make_no_sense_are_refused_by_name():
    for arguments, said in [
        ({"method": "ia3"}, r"adapter\.method=ia3 is unknown: take one of lora"),
        ({"method": "prefix_tuning", "rank": 4}, r"rank=4 is no setting of prefix_tuning, which has num_virtual_tok"),
        ({"method": "p_tuning_v2", "lora_dropout": 0.0}, r"lora_dropout=0.0 is no setting of p_tuning_v2"),
        ({"method": "p_tuning_v2", "encoder_hidden_size": 64}, r"encoder_hidden_size=64 is no setting of p_tuning_v2"),
        ({"method": "lora", "num_virtual_tokens": 8}, r"num_virtual_tokens=8 is no setting of lora"),
        ({"method": "p_tuning_v2", "num_virtual_tokens": 0}, r"num_virtual_tokens=0 is out of range: 1 or more"),
        ({"method": "prefix_tuning", "encoder_hidden_size": 0}, r"encoder_hidden_size=0 is out of range: 1 or more"),
    ]:
        with pytest.raises(ConfigError, match=said):
            adapter_settings(**arguments)
    assert adapter_settings("prefix_tuning") == PrefixTuning(128, 512)
    assert adapter_settings("p_tuning_v2", target_modules=["q_proj"]) == PTuningV2(128)


def test_an_adapter_of_another_method_or_size_is_refused(engines, llama):
    state = lively(engines["p_tuning_v2"])
    for method, said in [("lora", "lacks"), ("prefix_tuning", "lacks|has shape"), ("dora", "lacks")]:
        with pytest.raises(ModelError, match=said):
            engines[method].reply([ReplyRequest(state, PROMPTS, GREEDY, 0)])
    with pytest.raises(ModelError, match="has shape"):
        build(llama, "p_tuning_v2", num_virtual_tokens=4).reply([ReplyRequest(state, PROMPTS, GREEDY, 0)])
    with pytest.raises(ModelError, match="lora_magnitude_vector has no place"):
        engines["lora"].reply([ReplyRequest(lively(engines["dora"]), PROMPTS, GREEDY, 0)])


def test_broken_prefix_folders_are_refused(engines, llama, tmp_path):
    engine = engines["prefix_tuning"]
    folder = tmp_path / "adapter"
    for seed in (0, 1):  # overwriting writes both files anew
        state = lively(engine, seed)
        save_adapter(folder, state, engine.settings, llama)
        assert same(load_adapter(folder)[0], state)
    assert load_file(folder / "adapter_model.safetensors")["prompt_embeddings"].shape == (5, 64)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"peft_type": "IA3"}))
    with pytest.raises(ModelError, match="is IA3: take a LoRA or a prefix"):
        load_adapter(folder)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "prompt_encoder.safetensors").unlink()
    with pytest.raises(ModelError, match=r"has no prompt_encoder\.safetensors: .* training cannot go on"):
        load_adapter(folder)
    lora = engines["rslora"]
    save_adapter(tmp_path / "both", lively(lora), lora.settings, llama)
    config = json.loads((tmp_path / "both" / "adapter_config.json").read_text())
    (tmp_path / "both" / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))
    with pytest.raises(ModelError, match="both DoRA and rsLoRA"):
        load_adapter(tmp_path / "both")


def test_a_config_can_name_every_setting_of_every_method():
    own = {field.name for kind in METHODS.values() for field in fields(kind)}
    assert {field.name for field in fields(AdapterChoice)} == {"method", "ranks", "lora_alphas", "shared_rank", *own}
