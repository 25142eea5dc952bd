"""What is asked of an end model, a batch at a time, and what comes back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecc_fed.core.gradient_rule import ClippedGradient, GradientRule
from ecc_fed.core.ranges import require
from ecc_fed.core.records.dialogues import Turn

Array = npt.NDArray[np.float32]
# Tensor name as peft writes it (`base_model.model.….lora_A.weight`) -> fp32 array.
AdapterState = Mapping[str, Array]
# Optimizer slots by name (`m.<tensor>`, `v.<tensor>`) plus the scalar `step`, all fp32 arrays; where the moments began
# later than the steps, also the step `since` which they count.
OptimizerState = Mapping[str, Array]
COUNTS = ("step", "since")


@dataclass(frozen=True, slots=True)
class Decoding:
    """How replies are drawn.

    Raises:
        ConfigError: a value out of range.
    """

    # The longest reply.
    max_new_tokens: int = 64
    # Of the likeliest tokens, so much probability is drawn from.
    top_p: float = 0.8
    temperature: float = 0.6
    # false is greedy: the likeliest token each time, whatever top_p and temperature are.
    sample: bool = True

    def __post_init__(self) -> None:
        require(self.max_new_tokens >= 1, "decoding.max_new_tokens", self.max_new_tokens, "1 or more")
        require(0 < self.top_p <= 1, "decoding.top_p", self.top_p, "above 0, at most 1")
        require(self.temperature > 0, "decoding.temperature", self.temperature, "above 0 (greedy: sample=false)")


@dataclass(frozen=True, slots=True)
class ReplyRequest:
    """Replies wanted from one adapter. `adapter=None` is the bare base.

    `lora_alpha` takes the place of the engine's own in the adapter's scale; None: the engine's.

    Prompt i draws from its own generator, seeded from (`seed`, i), so that a reply never depends
    on who shares the batch.
    """

    adapter: AdapterState | None
    prompts: tuple[tuple[Turn, ...], ...]
    decoding: Decoding
    seed: int
    lora_alpha: float | None = None


@dataclass(frozen=True, slots=True)
class MeasuredReply:
    """A reply, and how sure the model was of it.

    `margin` is the mean over the drawn tokens, the end mark included, of how far the probability of the likeliest token
    lies above that of the second (at temperature 1, all tokens), 0 to 1. It is read off the logits that the reply is
    drawn from, whatever the decoding.
    """

    text: str
    margin: float


@dataclass(frozen=True, slots=True)
class Example:
    """A training example: loss falls on the reply's tokens (and its end mark) only."""

    prompt: tuple[Turn, ...]
    reply: str


@dataclass(frozen=True, slots=True)
class FineTuneSettings:
    """AdamW's settings, the same for every fine-tuning job of a run.

    Raises:
        ConfigError: a value out of range.
    """

    # Optimizer steps of one job.
    steps: int
    batch_size: int = 8
    learning_rate: float = 2e-3
    # true: it falls in a line to 0, without warm-up, over the job's decay_steps; false: it is constant.
    linear_decay: bool = False
    weight_decay: float = 0.0
    # A longer gradient is shortened to it; plays no part in a job with a gradient rule of its own.
    clipping_norm: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    # mu of FedProx (Li et al. 2020): the gradient also pulls, by mu times the way from there, towards the tensors from
    # which the server round began, if they go up after it, or a part of them does. 0: no pull.
    prox_mu: float = 0.0

    def __post_init__(self) -> None:
        require(self.steps >= 0, "finetune.steps", self.steps, "0 or more")
        require(self.batch_size >= 1, "finetune.batch_size", self.batch_size, "1 or more")
        require(0 < self.learning_rate < 1, "finetune.learning_rate", self.learning_rate, "between 0 and 1")
        require(self.weight_decay >= 0, "finetune.weight_decay", self.weight_decay, "0 or more")
        require(self.clipping_norm > 0, "finetune.clipping_norm", self.clipping_norm, "above 0")
        require(all(0 <= beta < 1 for beta in self.betas), "finetune.betas", self.betas, "0 up to, not including, 1")
        require(self.epsilon > 0, "finetune.epsilon", self.epsilon, "above 0")
        require(0 <= self.prox_mu < math.inf, "finetune.prox_mu", self.prox_mu, "0 or more")


@dataclass(frozen=True, slots=True)
class FineTuneJob:
    """One shop's fine-tuning.

    Batches, dropout and noise draw from streams of `seed`.

    Attributes:
        optimizer: AdamW's state to go on from; None starts it afresh at step 0.
        gradient: how examples become a step's gradient; None is the batch's own, clipped to
            `settings.clipping_norm`.
        decay_steps: steps of the shop's whole life, counted with the optimizer's, after which a
            decaying learning rate is 0; None is this job's steps.
        trained: patterns of tensor names (`core.aggregation.matches`). The other tensors and their
            moments stay as they are, bit for bit: they count for nothing in the gradient's norm, and
            neither noise nor weight decay moves them.
        anchor: where `settings.prox_mu` pulls the tensors of its names, as far as they are trained. The pull
            mu (w - anchor) is no example's, so it is added to what `gradient` has made: no bound holds for it, and
            losses are told without it. None: nowhere.
        correction: added to the gradient of the tensors of its names, as far as they are trained, where the pull is,
            before the optimizer's moments (SCAFFOLD's c - c_i). None: nothing is added, and no mean gradient told.
        lora_alpha: in the place of the engine's own in the adapter's scale; None: the engine's.

    Raises:
        ConfigError: `decay_steps` below 1.
    """

    adapter: AdapterState
    optimizer: OptimizerState | None
    examples: tuple[Example, ...]
    settings: FineTuneSettings
    seed: int
    gradient: GradientRule | None = None
    decay_steps: int | None = None
    trained: tuple[str, ...] = ("*",)
    anchor: AdapterState | None = None
    correction: AdapterState | None = None
    lora_alpha: float | None = None

    def __post_init__(self) -> None:
        require(self.decay_steps is None or self.decay_steps >= 1, "decay_steps", self.decay_steps, "1 or more")

    @property
    def rule(self) -> GradientRule:
        """The gradient rule that holds."""
        return ClippedGradient(self.settings.clipping_norm) if self.gradient is None else self.gradient


@dataclass(frozen=True, slots=True)
class FineTuneResult:
    """The new adapter and optimizer state, and the loss of every step.

    `gradient` is the mean over the steps of what the job's gradient rule made, before pull and correction, of the
    tensors that trained: told where the job has a `correction`, if only an empty one.
    """

    adapter: AdapterState
    optimizer: OptimizerState
    losses: tuple[float, ...]
    label_tokens: int
    gradient: AdapterState | None = None


@dataclass(frozen=True, slots=True)
class LikelihoodRequest:
    """Held-out replies whose likelihood under one adapter is wanted (teacher forcing); `lora_alpha` as a reply's."""

    adapter: AdapterState | None
    examples: tuple[Example, ...]
    lora_alpha: float | None = None


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Summed negative log-likelihood of one reply in nats, end mark included; `token_nats` is that of each token."""

    nll_nats: float
    label_tokens: int
    characters: int
    token_nats: tuple[float, ...] = ()
