"""Frozen records that travel between rooms. Plain Python and numpy, so that every room can import them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from ecc_fed.core.gradient_rule import ClippedGradient, GradientRule
from ecc_fed.core.ranges import require

Role = Literal["customer", "agent"]
Split = Literal["history", "stream", "test"]
Array = npt.NDArray[np.float32]
# Tensor name as peft writes it (`base_model.model.….lora_A.weight`) -> fp32 array.
AdapterState = Mapping[str, Array]
# Optimizer slots by name (`m.<tensor>`, `v.<tensor>`) plus the scalar `step`, all fp32 arrays.
OptimizerState = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Turn:
    """One dialogue turn."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """What a shop's order record holds of one customer. A device may look there; a field may be empty.

    It says nothing of what the customer said: values that never came up stand here too, and what a
    customer without an order says stands nowhere.
    """

    name: str = ""
    phone: str = ""
    address: str = ""
    order_numbers: tuple[str, ...] = ()
    parcel_numbers: tuple[str, ...] = ()

    def values(self) -> tuple[tuple[str, str], ...]:
        """(kind, value) of everything in it; kinds are name, phone, address, order, parcel."""
        single = (("name", self.name), ("phone", self.phone), ("address", self.address))
        numbers = [("order", number) for number in self.order_numbers]
        numbers += [("parcel", number) for number in self.parcel_numbers]
        return tuple((kind, value) for kind, value in (*single, *numbers) if value)


@dataclass(frozen=True, slots=True)
class Session:
    """One dialogue between one customer and one shop.

    `position` orders sessions in time (a day number, a line number): test sessions come last.
    """

    session_id: str
    turns: tuple[Turn, ...]
    shop_id: str | None = None
    position: float = 0.0


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which shop has which session: `shop_of[i]` owns session i, None leaves it out.

    `descriptions` are by shop; `notes` are for the corpus report.
    """

    shop_of: Sequence[str | None]
    descriptions: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """A query with its context and the human agent's reply. What a shop serves, trains and tests on.

    It holds what the shop's device knows and no more: what is true of it stands in `core.truth`.
    `customer` is the order record of whoever asks; None where the shop has none.
    """

    pair_id: str
    session_id: str
    shop_id: str
    context: tuple[Turn, ...]
    query: str
    reply: str
    position: float = 0.0
    customer: OrderRecord | None = None

    @property
    def prompt(self) -> tuple[Turn, ...]:
        """Context and query: what the end model reads."""
        return (*self.context, Turn("customer", self.query))


@dataclass(frozen=True, slots=True)
class Shop:
    """A shop's private dialogues, in time order: history (before the run), stream (served), test."""

    shop_id: str
    history: tuple[Pair, ...]
    stream: tuple[Pair, ...]
    test: tuple[Pair, ...]
    description: str = ""


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

    Prompt i draws from its own generator, seeded from (`seed`, i), so that a reply never depends
    on who shares the batch.
    """

    adapter: AdapterState | None
    prompts: tuple[tuple[Turn, ...], ...]
    decoding: Decoding
    seed: int


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

    def __post_init__(self) -> None:
        require(self.steps >= 0, "finetune.steps", self.steps, "0 or more")
        require(self.batch_size >= 1, "finetune.batch_size", self.batch_size, "1 or more")
        require(0 < self.learning_rate < 1, "finetune.learning_rate", self.learning_rate, "between 0 and 1")
        require(self.weight_decay >= 0, "finetune.weight_decay", self.weight_decay, "0 or more")
        require(self.clipping_norm > 0, "finetune.clipping_norm", self.clipping_norm, "above 0")
        require(all(0 <= beta < 1 for beta in self.betas), "finetune.betas", self.betas, "0 up to, not including, 1")
        require(self.epsilon > 0, "finetune.epsilon", self.epsilon, "above 0")


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

    def __post_init__(self) -> None:
        require(self.decay_steps is None or self.decay_steps >= 1, "decay_steps", self.decay_steps, "1 or more")

    @property
    def rule(self) -> GradientRule:
        """The gradient rule that holds."""
        return ClippedGradient(self.settings.clipping_norm) if self.gradient is None else self.gradient


@dataclass(frozen=True, slots=True)
class FineTuneResult:
    """The new adapter and optimizer state, and the loss of every step."""

    adapter: AdapterState
    optimizer: OptimizerState
    losses: tuple[float, ...]
    label_tokens: int


@dataclass(frozen=True, slots=True)
class LikelihoodRequest:
    """Held-out replies whose likelihood under one adapter is wanted (teacher forcing)."""

    adapter: AdapterState | None
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Summed negative log-likelihood of one reply in nats, end mark included."""

    nll_nats: float
    label_tokens: int
    characters: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """Eq. (1) for one reply. `relevance_trusted` is False where Theta sent the score to similarity alone."""

    similarity: float
    relevance: float
    cloud_relevance: float
    final_score: float
    relevance_trusted: bool
    accepted: bool


@dataclass(frozen=True, slots=True)
class Feedback:
    """What the customer made of a reply."""

    satisfied: bool
    source: Literal["simulated", "human"] = "simulated"


@dataclass(frozen=True, slots=True)
class TeacherRequest:
    """One question to the cloud. `examples` are the N few-shot (question, answer) pairs of Table II, oldest first.

    `customer` is what the device knows of whoever asks, `example_customers[i]` of the customer of
    example i (empty: nothing known of any), so that redaction finds both.
    """

    shop_id: str
    turns: tuple[Turn, ...]
    examples: tuple[tuple[str, str], ...]
    purpose: Literal["judge", "pseudo_label", "serve", "evaluate", "distill"]
    customer: OrderRecord | None = None
    server_round: int = 0
    example_customers: tuple[OrderRecord | None, ...] = ()


Outcome = Literal["ok", "blocked", "rate_limited", "unavailable", "timeout", "malformed", "budget", "error"]


@dataclass(frozen=True, slots=True)
class TeacherReply:
    """The cloud's answer; `text` is None whenever `outcome` is not "ok", and `detail` says why."""

    text: str | None
    outcome: Outcome
    model_version: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    latency_seconds: float = 0.0
    cached: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PseudoLabel:
    """A cloud reply that became a training target."""

    pair_id: str
    prompt: tuple[Turn, ...]
    reply: str
    model_version: str
    reason: Literal["low_score", "unhappy_customer", "distilled"]
    server_round: int


@dataclass(frozen=True, slots=True)
class EgressEntry:
    """One line of the ledger: bytes that left a shop (or came to it), to whom and of what kind."""

    shop_id: str
    server_round: int
    destination: Literal["cloud_teacher", "aggregator"]
    direction: Literal["up", "down"]
    kind: str
    num_bytes: int
    redaction: str = "none"
    details: Mapping[str, str | int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.num_bytes < 0 or self.server_round < 0:
            raise ValueError(f"has num_bytes {self.num_bytes} and server_round {self.server_round}: both count from 0")


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """Means over a shop's test pairs; the rows themselves stay with the shop."""

    num_examples: int
    metrics: Mapping[str, float] = field(default_factory=dict)
