"""Fine-tuning: what every engine shares (examples, order, schedule) and the plain loop over one model.

Loss falls on the agent's tokens only: the mean of -log p over the label tokens of a batch.
AdamW (Loshchilov & Hutter 2019), gradient norm clipped to `clipping_norm`, linear decay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecc_fed.core.errors import ConfigError, ModelError
from ecc_fed.core.records import (
    Array,
    Example,
    FineTuneJob,
    FineTuneResult,
    FineTuneSettings,
    OptimizerState,
    RecordPrivacy,
)
from ecc_fed.core.seeding import derive_rng, derive_seed
from ecc_fed.end_model.text.prompting import encode_prompt, encode_reply
from ecc_fed.end_model.training.record_privacy import GaussianNoise, clipped_sum, expected_batch, poisson_batches

IGNORED = -100


@dataclass(frozen=True, slots=True)
class EncodedExample:
    """Prompt and reply ids in one; positions from `prompt_length` on are labels."""

    ids: list[int]
    prompt_length: int

    @property
    def label_tokens(self) -> int:
        """How many tokens bear loss."""
        return len(self.ids) - self.prompt_length


def encode_example(tokenizer: Any, example: Example, max_prompt_tokens: int, max_reply_tokens: int) -> EncodedExample:
    """Ids of one example, each part cut to its limit."""
    prompt = encode_prompt(tokenizer, example.prompt, max_prompt_tokens)
    return EncodedExample([*prompt, *encode_reply(tokenizer, example.reply, max_reply_tokens)], len(prompt))


def check_job(job: FineTuneJob) -> None:
    """Refuses settings out of range.

    Raises:
        ConfigError: names the setting, its value and its range.
    """
    settings = job.settings
    ranges = {
        "steps": settings.steps >= 0,
        "batch_size": settings.batch_size >= 1,
        "learning_rate": settings.learning_rate >= 0,
        "decay_steps": settings.decay_steps is None or settings.decay_steps >= 1,
        "weight_decay": settings.weight_decay >= 0,
        "clipping_norm": settings.clipping_norm > 0,
        "epsilon": settings.epsilon > 0,
        "betas": all(0 <= beta < 1 for beta in settings.betas),
    }
    for name, valid in ranges.items():
        if not valid:
            raise ConfigError(f"fine-tuning with {name}={getattr(settings, name)} is out of range")
    if job.privacy is not None:
        if not job.privacy.clipping_norm > 0:
            raise ConfigError(f"record privacy with clipping_norm={job.privacy.clipping_norm} needs one above 0")
        if not job.privacy.noise_multiplier >= 0:
            raise ConfigError(f"record privacy with noise_multiplier={job.privacy.noise_multiplier} needs 0 or more")
    if settings.steps and not job.examples:
        raise ConfigError("fine-tuning needs at least one example; skip a shop that has none, or set steps=0")


def batch_order(num_examples: int, batch_size: int, seed: int) -> Iterator[list[int]]:
    """Endless batches of example indices: epoch after epoch, each a new permutation from `seed`."""
    generator = derive_rng(seed, "batches")
    while True:
        order = generator.permutation(num_examples).tolist()
        for start in range(0, num_examples, batch_size):
            yield order[start : start + batch_size]


def job_batches(job: FineTuneJob) -> Iterator[list[int]]:
    """The job's endless batches of example indices: by epochs, or Poisson draws under record privacy."""
    count, size = len(job.examples), job.settings.batch_size
    return batch_order(count, size, job.seed) if job.privacy is None else poisson_batches(count, size, job.seed)


def learning_rate(settings: FineTuneSettings, step: int) -> float:
    """The rate of optimizer step `step`, counted from 0 over the shop's life."""
    if settings.decay_steps is None:
        return settings.learning_rate
    return settings.learning_rate * max(0.0, 1.0 - step / settings.decay_steps)


def dropout_seed(seed: int) -> int:
    """Seed of a job's dropout stream."""
    return derive_seed(seed, "dropout")


def read_optimizer(
    state: OptimizerState | None, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[int, dict[str, Array], dict[str, Array]]:
    """Steps taken and both moments; zeros where there is no state yet.

    Raises:
        ModelError: a state that was not made for tensors of these shapes.
    """
    if state is None:
        zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        return 0, zeros, zeros
    for name, shape in shapes.items():
        for slot in (f"m.{name}", f"v.{name}"):
            if slot not in state or tuple(state[slot].shape) != shape:
                raise ModelError(
                    f"the optimizer state has no {slot} of shape {shape}; it belongs to another adapter: "
                    "start the optimizer afresh"
                )
    if "step" not in state:
        raise ModelError("the optimizer state has no step; start the optimizer afresh")
    first, second = ({name: state[f"{slot}.{name}"] for name in shapes} for slot in ("m", "v"))
    return int(state["step"]), first, second


def pad_batch(examples: Sequence[EncodedExample], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Right-padded ids, attention mask and labels, each (examples, longest)."""
    longest = max(len(example.ids) for example in examples)
    ids, mask, labels = [], [], []
    for example in examples:
        padding = longest - len(example.ids)
        ids.append(example.ids + [0] * padding)
        mask.append([1] * len(example.ids) + [0] * padding)
        labels.append([IGNORED] * example.prompt_length + example.ids[example.prompt_length :] + [IGNORED] * padding)
    return tuple(torch.tensor(part, device=device) for part in (ids, mask, labels))  # type: ignore[return-value]


def label_logits(model: Any, examples: Sequence[EncodedExample], device: torch.device) -> tuple[Tensor, Tensor]:
    """fp32 logits (label tokens, vocabulary) that predict the labels (label tokens,), example after example."""
    ids, mask, labels = pad_batch(examples, device)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
    targets = labels[:, 1:]
    wanted = targets != IGNORED
    return logits[wanted].float(), targets[wanted]


def train(
    model: Any,
    parameters: Mapping[str, torch.nn.Parameter],
    examples: Sequence[EncodedExample],
    job: FineTuneJob,
    device: torch.device,
) -> FineTuneResult:
    """Runs one job on a model that holds the job's adapter in `parameters`, in place.

    Dropout draws from the job's own seed; torch's global generators are left as they were.
    """
    settings = job.settings
    shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    start, first, second = read_optimizer(job.optimizer, shapes)
    optimizer = torch.optim.AdamW(
        list(parameters.values()),
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
    )
    for name, parameter in parameters.items():
        optimizer.state[parameter] = {
            "step": torch.tensor(float(start)),
            "exp_avg": torch.tensor(first[name], device=device),
            "exp_avg_sq": torch.tensor(second[name], device=device),
        }
    losses = []
    label_tokens = 0
    model.train()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(dropout_seed(job.seed))
        batches = job_batches(job)
        noise = None if job.privacy is None else GaussianNoise(job.privacy, shapes, job.seed)
        for step in range(start, start + settings.steps):
            batch = [examples[index] for index in next(batches)]
            if job.privacy is None or noise is None:
                loss = _gradient(model, batch, optimizer, device)
                torch.nn.utils.clip_grad_norm_(parameters.values(), settings.clipping_norm)
            else:
                count = expected_batch(len(examples), settings.batch_size)
                rows = []
                loss = 0.0
                for example in batch:
                    loss += _gradient(model, [example], optimizer, device) / count
                    rows.append(torch.cat([_grad(parameter).reshape(-1) for parameter in parameters.values()]))
                _private_gradient(parameters, rows, job.privacy, noise, count)
            optimizer.param_groups[0]["lr"] = learning_rate(settings, step)
            optimizer.step()
            losses.append(loss)
            label_tokens += sum(example.label_tokens for example in batch)
    model.eval()
    optimizer.zero_grad(set_to_none=True)
    state: dict[str, Array] = {"step": np.array(start + settings.steps, np.float32)}
    for name, parameter in parameters.items():
        slots = optimizer.state[parameter]
        state[f"m.{name}"] = slots["exp_avg"].cpu().numpy()
        state[f"v.{name}"] = slots["exp_avg_sq"].cpu().numpy()
    adapter = {name: parameter.detach().cpu().numpy().copy() for name, parameter in parameters.items()}
    return FineTuneResult(adapter, state, tuple(losses), label_tokens)


def _gradient(
    model: Any, batch: Sequence[EncodedExample], optimizer: torch.optim.Optimizer, device: torch.device
) -> float:
    """Leaves the gradient of the batch's mean loss in the parameters; returns the loss."""
    logits, targets = label_logits(model, batch, device)
    loss = torch.nn.functional.cross_entropy(logits, targets)
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    return loss.item()


def _grad(parameter: torch.nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _private_gradient(
    parameters: Mapping[str, torch.nn.Parameter],
    rows: Sequence[Tensor],
    privacy: RecordPrivacy,
    noise: GaussianNoise,
    count: float,
) -> None:
    """Leaves (clipped sum of `rows` + noise) / count in the parameters."""
    drawn = noise.draw()
    total = clipped_sum(torch.stack(list(rows)), privacy.clipping_norm) if rows else None
    start = 0
    for name, parameter in parameters.items():
        gradient = torch.tensor(drawn[name], device=parameter.device)
        if total is not None:
            gradient += total[start : start + parameter.numel()].view_as(parameter)
        parameter.grad = gradient / count
        start += parameter.numel()
