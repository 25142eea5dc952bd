"""Fine-tuning: what every engine shares (examples, order, schedule) and the plain loop over one model.

Loss falls on the agent's tokens only: the mean of -log p over the label tokens of a batch.
AdamW (Loshchilov & Hutter 2019), gradient norm clipped to `clipping_norm`, linear decay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecc_fed.core.errors import ConfigError, ModelError
from ecc_fed.core.gradient_rule import GradientRule
from ecc_fed.core.records import (
    Array,
    Example,
    FineTuneJob,
    FineTuneResult,
    FineTuneSettings,
    OptimizerState,
)
from ecc_fed.core.seeding import derive_seed
from ecc_fed.end_model.text.prompting import encode_prompt, encode_reply
from ecc_fed.end_model.training.gradients import JobGradients, weighted_sum

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
    """Refuses what cannot be trained.

    Raises:
        ConfigError: names what is wrong with it.
    """
    if job.settings.steps and not job.examples:
        raise ConfigError("fine-tuning needs at least one example; skip a shop that has none, or set steps=0")


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
        gradients = JobGradients(job, shapes)
        for step in range(start, start + settings.steps):
            batch = gradients.next_batch(examples)
            losses.append(_step_gradient(model, parameters, batch, gradients, device))
            optimizer.param_groups[0]["lr"] = learning_rate(settings, step)
            optimizer.step()
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


def _step_gradient(
    model: Any,
    parameters: Mapping[str, torch.nn.Parameter],
    batch: Sequence[EncodedExample],
    gradients: JobGradients,
    device: torch.device,
) -> float:
    """Leaves the step's gradient by the job's rule in the parameters; returns the step's loss."""
    rule, divisor = gradients.rule, gradients.divisor
    rows, loss = [], 0.0
    for group in gradients.groups(batch):
        loss += _backward(model, parameters, group, device) / divisor
        rows.append([_grad(parameter) for parameter in parameters.values()])
    if rule.per_example:
        total = _sum_of_rows(parameters, rows, rule)
    else:
        # The norm of the tensors' norms, as torch's own clipping has it.
        factor = rule.factors(torch.nn.utils.get_total_norm(rows[0])[None])
        total = [gradient.mul_(factor) for gradient in rows[0]]
    noise = gradients.noise()
    for (name, parameter), gradient in zip(parameters.items(), total, strict=True):
        if noise is not None:
            gradient += torch.tensor(noise[name], device=gradient.device)
        parameter.grad = gradient.div_(divisor)
    return loss


def _backward(
    model: Any, parameters: Mapping[str, torch.nn.Parameter], batch: Sequence[EncodedExample], device: torch.device
) -> float:
    """Leaves the gradient of the batch's mean loss in the parameters; returns the loss."""
    logits, targets = label_logits(model, batch, device)
    loss = torch.nn.functional.cross_entropy(logits, targets)
    for parameter in parameters.values():
        parameter.grad = None
    torch.autograd.backward(loss)
    return loss.item()


def _grad(parameter: torch.nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _sum_of_rows(
    parameters: Mapping[str, torch.nn.Parameter], rows: Sequence[Sequence[Tensor]], rule: GradientRule
) -> list[Tensor]:
    """The rule's sum over examples, each a row of one gradient for every parameter."""
    sizes = [parameter.numel() for parameter in parameters.values()]
    flat = [torch.cat([gradient.reshape(-1) for gradient in row]) for row in rows]
    total = weighted_sum(rule, torch.stack(flat)) if flat else next(iter(parameters.values())).new_zeros(sum(sizes))
    return [
        part.view_as(parameter)
        for part, parameter in zip(total.split_with_sizes(sizes), parameters.values(), strict=True)
    ]
