"""The plain loop over one peft model: padded batches, torch's AdamW.

The mean of -log p over a batch's label tokens; AdamW (Loshchilov & Hutter 2019) at a linearly decaying rate, on
gradients made by the job's rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ecc_fed.core.gradient_rule import GradientRule
from ecc_fed.core.heartbeat import beat
from ecc_fed.core.records import FineTuneJob, FineTuneResult
from ecc_fed.end_model.training.examples import EncodedExample
from ecc_fed.end_model.training.gradients import JobGradients, weighted_sum
from ecc_fed.end_model.training.jobs import (
    anchors,
    corrections,
    dropout_seed,
    learning_rate,
    read_optimizer,
    trained_names,
)

IGNORED = -100


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
    before = read_optimizer(job.optimizer, shapes)
    start, first, second = before.steps, before.first, before.second
    trained = {name: parameters[name] for name in trained_names(job, parameters)}
    optimizer = torch.optim.AdamW(
        list(trained.values()),
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
    )
    for name, parameter in trained.items():
        optimizer.state[parameter] = {
            "step": torch.tensor(float(start - before.since)),  # corrects the moments; the rate has its own count
            "exp_avg": torch.tensor(first[name], device=device),
            "exp_avg_sq": torch.tensor(second[name], device=device),
        }
    pulled_to = {name: torch.tensor(anchor, device=device) for name, anchor in anchors(job, trained).items()}
    corrected_by = {name: torch.tensor(each, device=device) for name, each in corrections(job, trained).items()}
    totals = {name: torch.zeros_like(each) for name, each in trained.items()} if job.correction is not None else {}
    losses = []
    label_tokens = 0
    model.train()
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in trained)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(dropout_seed(job.seed))
        gradients = JobGradients(job, shapes)
        for step in range(start, start + settings.steps):
            batch = gradients.next_batch(examples)
            losses.append(_step_gradient(model, trained, batch, gradients, device))
            _correct(trained, totals, corrected_by)
            _pull(trained, pulled_to, settings.prox_mu)
            optimizer.param_groups[0]["lr"] = learning_rate(job, step)
            optimizer.step()
            label_tokens += sum(example.label_tokens for example in batch)
            beat()
    model.eval()
    optimizer.zero_grad(set_to_none=True)
    state = before.after(settings.steps)
    for name, parameter in parameters.items():
        slots = optimizer.state[parameter] if name in trained else None
        state[f"m.{name}"] = first[name] if slots is None else slots["exp_avg"].cpu().numpy()
        state[f"v.{name}"] = second[name] if slots is None else slots["exp_avg_sq"].cpu().numpy()
    adapter = {name: parameter.detach().cpu().numpy().copy() for name, parameter in parameters.items()}
    means = {name: (total / max(settings.steps, 1)).cpu().numpy() for name, total in totals.items()}
    return FineTuneResult(adapter, state, tuple(losses), label_tokens, None if job.correction is None else means)


def _correct(
    parameters: Mapping[str, torch.nn.Parameter], totals: Mapping[str, Tensor], corrected_by: Mapping[str, Tensor]
) -> None:
    """Adds the gradients that wait in the parameters to `totals`, then the corrections to them."""
    for name, total in totals.items():
        gradient = parameters[name].grad
        assert gradient is not None
        total.add_(gradient.detach())
        if name in corrected_by:
            gradient.add_(corrected_by[name])


def _pull(parameters: Mapping[str, torch.nn.Parameter], pulled_to: Mapping[str, Tensor], prox_mu: float) -> None:
    """Adds mu (w - anchor) to the gradients that wait in the parameters."""
    for name, anchor in pulled_to.items():
        gradient = parameters[name].grad
        assert gradient is not None
        gradient.add_(parameters[name].detach() - anchor, alpha=prox_mu)


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
