import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import AutoModelForCausalLM

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
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.text.decoding import decode_reply
from ecc_fed.end_model.text.prompting import encode_prompt
from ecc_fed.end_model.training.examples import encode_example

from ...opening import peft_engine

REPLIES = ["亲，发顺丰。", "在的", "今天 18 点前付款当天发出哦", "九块九", "可以退", "没有货了，抱歉", "谢谢"]
EXAMPLES = tuple(Example((Turn("customer", f"问题{'很' * i}{i}？"),), reply) for i, reply in enumerate(REPLIES))
GREEDY = Decoding(max_new_tokens=12, sample=False)


@pytest.fixture(scope="module")
def engine(bases):
    return peft_engine(bases["llama"], Lora(4, lora_dropout=0.0))


@pytest.fixture(scope="module")
def dropping(bases):
    return peft_engine(bases["llama"], Lora(4, lora_dropout=0.3))


def lively(engine, seed=0):
    generator = np.random.default_rng(seed)
    return {name: generator.normal(0, 0.1, shape).astype(np.float32) for name, shape in engine.shapes.items()}


def same(left, right):
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def plain_peft(path, state, rank):
    model = AutoModelForCausalLM.from_pretrained(path)
    modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(
        model, LoraConfig(r=rank, lora_alpha=32, lora_dropout=0.0, target_modules=modules, task_type="CAUSAL_LM")
    )
    set_peft_model_state_dict(model, {name: torch.tensor(array) for name, array in state.items()})
    return model


def plain_loop(path, tokenizer, job, rank):
    """Fine-tuning as anybody would write it: one example a forward pass, its own masks, torch's AdamW."""
    model = plain_peft(path, job.adapter, rank)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    settings = job.settings
    optimizer = torch.optim.AdamW(
        parameters, settings.learning_rate, settings.betas, settings.epsilon, settings.weight_decay
    )
    decay = job.decay_steps
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: max(0.0, 1 - t / decay) if decay else 1.0)
    order = epoch_batches(len(job.examples), settings.batch_size, job.seed)
    losses = []
    for _ in range(settings.steps):
        batch = [encode_example(tokenizer, job.examples[index], 256, 512) for index in next(order)]
        total = sum(example.label_tokens for example in batch)
        loss = torch.zeros(())
        for example in batch:
            log_p = torch.log_softmax(model(input_ids=torch.tensor([example.ids])).logits[0], -1)
            for position in range(example.prompt_length, len(example.ids)):
                loss = loss - log_p[position - 1, example.ids[position]] / total
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, settings.clipping_norm)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return {name: tensor.numpy() for name, tensor in get_peft_model_state_dict(model).items()}, losses


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_fine_tuning_equals_a_plain_peft_loop(bases, family):
    engine = peft_engine(bases[family], Lora(4, lora_dropout=0.0))
    # A large epsilon keeps Adam from amplifying rounding in gradients near zero.
    settings = FineTuneSettings(
        steps=6,
        batch_size=3,
        learning_rate=1e-2,
        linear_decay=True,
        weight_decay=0.1,
        clipping_norm=0.5,
        epsilon=1e-3,
    )
    job = FineTuneJob(lively(engine), None, EXAMPLES, settings, seed=0, decay_steps=9)
    result = engine.fine_tune([job])[0]
    expected, losses = plain_loop(bases[family], engine.tokenizer, job, rank=4)
    assert expected.keys() == result.adapter.keys()
    assert result.losses == pytest.approx(losses, abs=1e-5)
    for name, array in expected.items():
        assert np.abs(array - result.adapter[name]).max() < 1e-5
        assert np.abs(array - job.adapter[name]).max() > 1e-3


def test_greedy_text_equals_transformers_generate(engine, llama):
    state = lively(engine)
    prompts = tuple(example.prompt for example in EXAMPLES)
    replies = engine.reply([ReplyRequest(state, prompts, GREEDY, 0)])[0]
    model = plain_peft(llama, state, 4)
    for prompt, reply in zip(prompts, replies, strict=True):
        ids = torch.tensor([encode_prompt(engine.tokenizer, prompt, 256)])
        with torch.no_grad():
            output = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12, pad_token_id=0
            )
        assert reply == decode_reply(engine.tokenizer, output[0, ids.shape[1] :].tolist())


def test_a_reply_does_not_depend_on_who_shares_the_batch(engine, llama):
    state, decoding = lively(engine), Decoding(max_new_tokens=10)
    prompts = tuple(example.prompt for example in EXAMPLES)
    together = engine.reply([ReplyRequest(state, prompts, decoding, 5)])[0]
    tight = peft_engine(llama, Lora(4), batch_tokens=1)
    assert tight.reply([ReplyRequest(state, prompts, decoding, 5)])[0] == together
    assert engine.reply([ReplyRequest(state, prompts[:3], decoding, 5)])[0] == together[:3]
    mixed = engine.reply([ReplyRequest(None, prompts, decoding, 1), ReplyRequest(state, prompts, decoding, 5)])
    assert mixed[1] == together
    assert engine.reply([ReplyRequest(state, prompts, decoding, 6)])[0] != together


def test_replies_end_at_the_end_mark_and_at_the_limit(engine):
    request = ReplyRequest(lively(engine), (EXAMPLES[0].prompt,), GREEDY, 0)
    text = engine.reply([request])[0][0]
    # Train the adapter to say one thing: it stops by itself, well before the limit.
    one = (Example(EXAMPLES[0].prompt, "好"),)
    settings = FineTuneSettings(steps=40, learning_rate=2e-2)
    taught = engine.fine_tune([FineTuneJob(engine.new_adapter(0), None, one, settings, 0)])[0]
    assert engine.reply([ReplyRequest(taught.adapter, (one[0].prompt,), GREEDY, 0)])[0] == ["好"]
    assert text != "好"
    assert engine.reply([ReplyRequest(None, (), GREEDY, 0)]) == [[]]


def test_jobs_do_not_depend_on_their_order(dropping):
    settings = FineTuneSettings(steps=3, batch_size=2)
    first = FineTuneJob(lively(dropping, 1), None, EXAMPLES[:4], settings, 1)
    second = FineTuneJob(lively(dropping, 2), None, EXAMPLES[3:], settings, 2)
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    forth = dropping.fine_tune([first, second])
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(1)
    back = dropping.fine_tune([second, first])
    assert same(forth[0].adapter, back[1].adapter) and same(forth[1].adapter, back[0].adapter)
    assert same(forth[0].optimizer, back[1].optimizer) and forth[0].losses == back[1].losses


def test_dropout_follows_the_jobs_seed(dropping):
    settings = FineTuneSettings(steps=2, batch_size=7)
    runs = [
        dropping.fine_tune([FineTuneJob(lively(dropping), None, EXAMPLES, settings, seed)])[0] for seed in (0, 0, 1)
    ]
    assert same(runs[0].adapter, runs[1].adapter)
    # One batch holds all examples, so order plays no part: the difference is dropout's.
    assert abs(runs[0].losses[0] - runs[2].losses[0]) > 1e-3


def test_zero_steps_change_nothing(engine):
    state = lively(engine)
    result = engine.fine_tune([FineTuneJob(state, None, (), FineTuneSettings(steps=0), 0)])[0]
    assert same(result.adapter, state)
    assert result.losses == () and result.label_tokens == 0 and result.optimizer["step"] == 0
    assert set(result.optimizer) == {"step", *(f"{slot}.{name}" for slot in "mv" for name in state)}


def test_training_in_two_jobs_equals_one(engine):
    settings = FineTuneSettings(steps=4, batch_size=len(EXAMPLES), linear_decay=True)
    halves = FineTuneSettings(steps=2, batch_size=len(EXAMPLES), linear_decay=True)
    whole = engine.fine_tune([FineTuneJob(lively(engine), None, EXAMPLES, settings, 3, decay_steps=10)])[0]
    first = engine.fine_tune([FineTuneJob(lively(engine), None, EXAMPLES, halves, 4, decay_steps=10)])[0]
    second = engine.fine_tune([FineTuneJob(first.adapter, first.optimizer, EXAMPLES, halves, 5, decay_steps=10)])[0]
    assert second.optimizer["step"] == 4
    assert [*first.losses, *second.losses] == pytest.approx(whole.losses, abs=1e-4)
    for name, array in whole.adapter.items():
        moved = np.linalg.norm(array - lively(engine)[name])
        assert np.linalg.norm(array - second.adapter[name]) < 1e-3 * moved


def test_loss_falls_on_the_reply_alone(engine):
    labelled = engine.likelihood([LikelihoodRequest(None, EXAMPLES[:1])])[0][0]
    settings = FineTuneSettings(steps=1, batch_size=1)
    result = engine.fine_tune([FineTuneJob(engine.new_adapter(0), None, EXAMPLES[:1], settings, 0)])[0]
    reply_tokens = engine.count_tokens(EXAMPLES[0].reply) + 1
    assert result.label_tokens == labelled.label_tokens == reply_tokens
    assert result.losses[0] == pytest.approx(labelled.nll_nats / reply_tokens, abs=1e-5)


def test_a_batch_larger_than_the_examples_takes_them_all(engine):
    settings = FineTuneSettings(steps=2, batch_size=100)
    result = engine.fine_tune([FineTuneJob(engine.new_adapter(0), None, EXAMPLES, settings, 0)])[0]
    assert result.label_tokens == 2 * sum(engine.count_tokens(reply) + 1 for reply in REPLIES)


def test_likelihood_is_the_sum_over_reply_and_end_mark(engine, llama):
    state = lively(engine)
    results = engine.likelihood([LikelihoodRequest(state, EXAMPLES), LikelihoodRequest(state, ())])
    model = plain_peft(llama, state, 4)
    for example, found in zip(EXAMPLES, results[0], strict=True):
        encoded = encode_example(engine.tokenizer, example, 256, 512)
        with torch.no_grad():
            log_p = torch.log_softmax(model(input_ids=torch.tensor([encoded.ids])).logits[0].double(), -1)
        positions = range(encoded.prompt_length, len(encoded.ids))
        expected = -sum(log_p[position - 1, encoded.ids[position]].item() for position in positions)
        assert found.nll_nats == pytest.approx(expected, rel=1e-5)
        assert found.label_tokens == encoded.label_tokens and found.characters == len(example.reply)
    assert results[1] == []


def test_a_fresh_adapter_leaves_the_base_unchanged(engine):
    prompts = tuple(example.prompt for example in EXAMPLES)
    bare, fresh = engine.reply(
        [ReplyRequest(None, prompts, GREEDY, 0), ReplyRequest(engine.new_adapter(0), prompts, GREEDY, 0)]
    )
    assert bare == fresh


def test_mistakes_are_refused_by_name(engine, llama):
    state = engine.new_adapter(0)
    with pytest.raises(ConfigError, match="at least one example"):
        engine.fine_tune([FineTuneJob(state, None, (), FineTuneSettings(steps=1), 0)])
    with pytest.raises(ModelError, match="optimizer state"):
        engine.fine_tune([FineTuneJob(state, {"step": np.zeros(())}, EXAMPLES, FineTuneSettings(steps=1), 0)])
    with pytest.raises(ModelError, match="lacks"):
        engine.reply([ReplyRequest({}, (EXAMPLES[0].prompt,), GREEDY, 0)])
