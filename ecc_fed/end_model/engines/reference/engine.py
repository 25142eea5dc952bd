"""The reference engine: peft over one resident base, one job after another.

Slow and plain on purpose: it is what `SharedEngine` must equal, and it takes any causal LM and every
adapter method.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from peft import get_peft_model
from peft.tuners.lora import LoraLayer

from ecc_fed.core.aggregation import adapter_rank
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.frozen_part import frozen_part, frozen_rank, with_frozen
from ecc_fed.core.heartbeat import beat
from ecc_fed.core.records import (
    AdapterState,
    Example,
    FineTuneJob,
    FineTuneResult,
    Likelihood,
    LikelihoodRequest,
    MeasuredReply,
    ReplyRequest,
)
from ecc_fed.end_model.adapters.names import MAGNITUDE
from ecc_fed.end_model.adapters.settings import AdapterSettings, with_alpha
from ecc_fed.end_model.adapters.tensors import check_adapter, fresh_adapter, shapes_of_rank
from ecc_fed.end_model.base import Base
from ecc_fed.end_model.engines.batching import split_by_length
from ecc_fed.end_model.engines.reference.frozen_adapter import fill_frozen
from ecc_fed.end_model.engines.reference.generation import generate
from ecc_fed.end_model.engines.reference.peft_words import peft_config
from ecc_fed.end_model.engines.reference.training import label_logits, train
from ecc_fed.end_model.engines.reference.trial import choose_way, require_linear, room_of, try_adapter, try_prefix
from ecc_fed.end_model.engines.sampling import make_rows
from ecc_fed.end_model.limits import TokenLimits, shortened
from ecc_fed.end_model.text.decoding import decode_reply
from ecc_fed.end_model.text.prompting import encode_prompt
from ecc_fed.end_model.training.examples import EncodedExample, encode_example
from ecc_fed.end_model.training.jobs import check_job
from ecc_fed.models.chat_ids import encode_text
from ecc_fed.models.opening import refusing

_LOG = logging.getLogger(__name__)
_ROLE = "end model"
_ADAPTER_REMEDY = "check adapter.target_modules, or take another adapter or base"
_SLOWLY = "row by row, and reads a whole text again for every token"


def state_name(parameter_name: str) -> str:
    """A peft parameter's name without the adapter's own, as peft writes it to a file."""
    return parameter_name.replace(".default.", ".").replace(f"{MAGNITUDE}.weight", MAGNITUDE)


class PeftEngine:
    """An `EndModel` with one peft adapter, whose weights are swapped in for every job.

    Adapters may differ in rank; each is scaled by its own. A training batch is never split, whatever `limits` say.

    Args:
        base: a loaded base.
        settings: the adapters' method and sizes.
        limits: bounds in tokens.
        fallback_reason: why it stands in for the shared engine; None where it was asked for.

    Raises:
        ModelError: the base cannot bear the adapter.
    """

    def __init__(
        self,
        base: Base,
        settings: AdapterSettings,
        limits: TokenLimits | None = None,
        fallback_reason: str | None = None,
    ) -> None:
        self.base, self.settings = base, settings
        self.limits = limits or TokenLimits()
        self.fallback_reason = fallback_reason
        self.tokenizer, self.system = base.tokenizer, base.system
        # peft draws a first adapter from the global generator; it is overwritten before any use.
        bear = f"cannot bear a {settings.method} adapter"
        with refusing(_ROLE, base.path, bear, _ADAPTER_REMEDY), torch.random.fork_rng(devices=[]):
            self.model = get_peft_model(base.model, peft_config(settings))
        self.model.eval()
        self.parameters = {
            state_name(name): parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad
        }
        self.shapes = {name: tuple(parameter.shape) for name, parameter in self.parameters.items()}
        require_linear(self.shapes, settings, base.path)
        self._try()
        self._layers = [module for module in self.model.modules() if isinstance(module, LoraLayer)]
        self._base_norms = {
            name: parameter.detach().cpu().numpy().copy()
            for name, parameter in self.parameters.items()
            if name.endswith(MAGNITUDE)
        }

    def _try(self) -> None:
        """Finds out what the base can do, and takes the reply's limit down to the positions that it has."""
        base, virtual = self.base, self.settings.virtual_tokens
        with refusing(_ROLE, base.path, "cannot be served", "take another base"):
            self.way, why = choose_way(self.model, base.device, base.path)
            wanted = virtual + self.limits.max_prompt_tokens + self.limits.max_reply_tokens
            found = room_of(self.model, wanted, base.device, base.path)
        # Positions of prompt and reply together; None: enough for the longest of both.
        self.positions = None if found is None else found - virtual
        if self.positions is not None:
            self.limits = shortened(self.limits, self.positions, base.path)
        if why:
            slowly = f"served {'row by row' if self.way == 'one by one' else _SLOWLY}: {why}"
            _LOG.warning("%s is %s", base.path, slowly)
            if self.fallback_reason is not None:  # it stands in the run's own record
                self.fallback_reason = f"{self.fallback_reason}; it is {slowly}"
        with refusing(_ROLE, base.path, f"cannot bear a {self.settings.method} adapter", _ADAPTER_REMEDY):
            if virtual:
                try_prefix(self.model, self.way, base.device)
            else:
                try_adapter(self.model, base.device)

    def new_adapter(self, seed: int) -> AdapterState:
        """A fresh adapter from `seed` and the base alone.

        LoRA and its kin leave the base's output unchanged (B = 0); a prefix starts at random, as peft's.
        """
        return {**fresh_adapter(self.shapes, seed), **self._base_norms}

    def count_tokens(self, text: str) -> int:
        """Tokens of `text`, without special tokens."""
        return len(encode_text(self.tokenizer, text))

    def reply(self, requests: Sequence[ReplyRequest]) -> list[list[str]]:
        """One text for every prompt of every request."""
        return [[reply.text for reply in replies] for replies in self.measured_reply(requests)]

    def measured_reply(self, requests: Sequence[ReplyRequest]) -> list[list[MeasuredReply]]:
        """One reply with its margin for every prompt of every request."""
        return [self._reply(request) for request in requests]

    def fine_tune(self, jobs: Sequence[FineTuneJob]) -> list[FineTuneResult]:
        """One result for every job, run one after another.

        A job that diverges is not stopped: its losses are not finite, and so is its adapter.

        Raises:
            ConfigError: settings out of range, or steps without examples.
            ModelError: an adapter or optimizer state of another shape.
        """
        for job in jobs:
            check_job(job)
            self._check(job.adapter)
        return [self._fine_tune(job) for job in jobs]

    def likelihood(self, requests: Sequence[LikelihoodRequest]) -> list[list[Likelihood]]:
        """Teacher-forced likelihood of every example of every request."""
        return [self._likelihood(request) for request in requests]

    def _reply(self, request: ReplyRequest) -> list[MeasuredReply]:
        prompts = [
            encode_prompt(self.tokenizer, turns, self.limits.max_prompt_tokens, self.system)
            for turns in request.prompts
        ]
        rows = make_rows(prompts, request.decoding, request.seed)
        replies = [MeasuredReply("", 0.0)] * len(rows)
        with self._adapter(request.adapter, request.lora_alpha):
            prefixed = request.adapter is not None and self.settings.virtual_tokens > 0
            longest = max((row.total_tokens for row in rows), default=0)
            if self.positions is not None and longest > self.positions:
                raise ConfigError(
                    f"the end model {self.base.path} has {self.positions} positions, and a prompt with its longest "
                    f"reply takes {longest}: lower end_model.max_prompt_tokens or decoding.max_new_tokens"
                )
            costs = [row.total_tokens + self.settings.virtual_tokens * prefixed for row in rows]
            for batch in split_by_length(costs, self.limits.pass_tokens):
                chosen = [rows[index] for index in batch]
                generated = generate(self.model, chosen, self.base.end_marks, self.base.device, prefixed, self.way)
                for index, drawn in zip(batch, generated, strict=True):
                    replies[index] = MeasuredReply(decode_reply(self.tokenizer, drawn.ids), drawn.margin)
        return replies

    def _fine_tune(self, job: FineTuneJob) -> FineTuneResult:
        examples = [self._encode(example) for example in job.examples]
        with self._adapter(job.adapter, job.lora_alpha):
            result = train(self.model, self.parameters, examples, job, self.base.device)
        return replace(result, adapter={**result.adapter, **frozen_part(job.adapter)})

    @torch.inference_mode()
    def _likelihood(self, request: LikelihoodRequest) -> list[Likelihood]:
        examples = [self._encode(example) for example in request.examples]
        results: list[Likelihood] = [Likelihood(0.0, 0, 0)] * len(examples)
        with self._adapter(request.adapter, request.lora_alpha):
            costs = [len(example.ids) + self.settings.virtual_tokens for example in examples]
            for batch in split_by_length(costs, self.limits.pass_tokens):
                beat()
                logits, targets = label_logits(self.model, [examples[index] for index in batch], self.base.device)
                losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none").double()
                counts = [examples[index].label_tokens for index in batch]
                for index, nll in zip(batch, torch.split(losses, counts), strict=True):
                    characters = len(request.examples[index].reply)
                    each = tuple(nll.tolist())
                    results[index] = Likelihood(float(nll.sum()), examples[index].label_tokens, characters, each)
        return results

    def _encode(self, example: Example) -> EncodedExample:
        limits = self.limits
        return encode_example(self.tokenizer, example, limits.max_prompt_tokens, limits.max_reply_tokens, self.system)

    @contextmanager
    def _adapter(self, state: AdapterState | None, lora_alpha: float | None = None) -> Iterator[None]:
        """Swaps an adapter's weights in, at its own lora_alpha if it has one; without one the base answers alone."""
        if state is None:
            with self.model.disable_adapter():
                yield
            return
        self._check(state)
        rank = adapter_rank(state)
        # Another rank is another shape, which a copy would not take; an inference tensor could not be trained later.
        with torch.inference_mode(False):
            for name, parameter in self.parameters.items():
                parameter.data = torch.tensor(state[name], dtype=parameter.dtype, device=parameter.device)
                parameter.grad = None
        if rank is not None:
            for layer in self._layers:
                layer.scaling["default"] = with_alpha(self.settings, lora_alpha).scale_at(rank)
        fill_frozen(self.model, self.settings, frozen_part(state))
        yield

    def _check(self, state: AdapterState) -> None:
        check_adapter(state, with_frozen(shapes_of_rank(self.shapes, adapter_rank(state)), frozen_rank(state)))
