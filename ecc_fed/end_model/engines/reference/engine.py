"""The reference engine: peft over one resident base, one job after another.

Slow and plain on purpose: it is what `SharedEngine` must equal, and it takes any causal LM and every
adapter method.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PrefixTuningConfig, get_peft_model

from ecc_fed.core.errors import ModelError
from ecc_fed.core.records import (
    AdapterState,
    Example,
    FineTuneJob,
    FineTuneResult,
    Likelihood,
    LikelihoodRequest,
    ReplyRequest,
)
from ecc_fed.end_model.adapters.files import MAGNITUDE, check_adapter, fresh_adapter, peft_words
from ecc_fed.end_model.adapters.settings import AdapterSettings, PrefixSettings, adapter_settings
from ecc_fed.end_model.base import Base, check_limits, load_base
from ecc_fed.end_model.engines.reference.generation import generate
from ecc_fed.end_model.engines.sampling import make_rows, split_by_length
from ecc_fed.end_model.text.prompting import decode_reply, encode_prompt, encode_text
from ecc_fed.end_model.training.finetune import EncodedExample, check_job, encode_example, label_logits, train


def peft_config(settings: AdapterSettings) -> PeftConfig:
    """peft's own object; sizes that belong to the base are left to peft."""
    kind: Any = PrefixTuningConfig if isinstance(settings, PrefixSettings) else LoraConfig
    words = {name: value for name, value in peft_words(settings).items() if name != "peft_type"}
    config: PeftConfig = kind(**words)
    return config


def state_name(parameter_name: str) -> str:
    """A peft parameter's name without the adapter's own, as peft writes it to a file."""
    return parameter_name.replace(".default.", ".").replace(f"{MAGNITUDE}.weight", MAGNITUDE)


class PeftEngine:
    """An `EndModel` with one peft adapter, whose weights are swapped in for every job.

    `path` is a local model folder or a hub id. `rank` to `target_modules` and `method` to
    `encoder_hidden_size` are as in `adapter_settings`. `batch_tokens` bounds rows times length of a
    batch in generation and likelihood; a training batch is never split. `base` is an already loaded
    one.

    Raises:
        ModelError: the base cannot be loaded, or cannot bear the adapter.
        ConfigError: a setting out of range, or one that the method does not have.
    """

    def __init__(
        self,
        path: str,
        rank: int | None = None,
        lora_alpha: float | None = None,
        lora_dropout: float | None = None,
        target_modules: str | Sequence[str] = "all-linear",
        max_prompt_tokens: int = 256,
        max_reply_tokens: int = 512,
        quantization: str = "none",
        device: str = "auto",
        batch_tokens: int = 4096,
        method: str = "lora",
        num_virtual_tokens: int | None = None,
        encoder_hidden_size: int | None = None,
        base: Base | None = None,
    ) -> None:
        check_limits(max_prompt_tokens, max_reply_tokens, batch_tokens)
        self.settings = adapter_settings(
            method, rank, lora_alpha, lora_dropout, target_modules, num_virtual_tokens, encoder_hidden_size
        )
        self.max_prompt_tokens = max_prompt_tokens
        self.max_reply_tokens = max_reply_tokens
        self.batch_tokens = batch_tokens
        self.base = load_base(path, quantization, device) if base is None else base
        self.tokenizer = self.base.tokenizer
        # peft draws a first adapter from the global generator; it is overwritten before any use.
        with torch.random.fork_rng(devices=[]):
            try:
                self.model = get_peft_model(self.base.model, peft_config(self.settings))
            except ValueError as error:
                on = f" on target_modules={target_modules!r}" if self.virtual_tokens == 0 else ""
                raise ModelError(f"{path} cannot bear a {method} adapter{on}: {error}") from error
        self.model.eval()
        self.parameters = {
            state_name(name): parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad
        }
        self.shapes = {name: tuple(parameter.shape) for name, parameter in self.parameters.items()}
        self._base_norms = {
            name: parameter.detach().cpu().numpy().copy()
            for name, parameter in self.parameters.items()
            if name.endswith(MAGNITUDE)
        }

    @property
    def virtual_tokens(self) -> int:
        """Positions that a prefix takes before every text; 0 for LoRA and its kin."""
        return self.settings.num_virtual_tokens if isinstance(self.settings, PrefixSettings) else 0

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
            check_adapter(job.adapter, self.shapes)
        return [self._fine_tune(job) for job in jobs]

    def likelihood(self, requests: Sequence[LikelihoodRequest]) -> list[list[Likelihood]]:
        """Teacher-forced likelihood of every example of every request."""
        return [self._likelihood(request) for request in requests]

    def _reply(self, request: ReplyRequest) -> list[str]:
        prompts = [encode_prompt(self.tokenizer, turns, self.max_prompt_tokens) for turns in request.prompts]
        rows = make_rows(prompts, request.decoding, request.seed)
        replies = [""] * len(rows)
        with self._adapter(request.adapter):
            prefixed = request.adapter is not None and self.virtual_tokens > 0
            costs = [row.total_tokens + self.virtual_tokens * prefixed for row in rows]
            for batch in split_by_length(costs, self.batch_tokens):
                chosen = [rows[index] for index in batch]
                generated = generate(self.model, chosen, self.base.end_ids, self.base.device, prefixed)
                for index, ids in zip(batch, generated, strict=True):
                    replies[index] = decode_reply(self.tokenizer, ids)
        return replies

    def _fine_tune(self, job: FineTuneJob) -> FineTuneResult:
        examples = [self._encode(example) for example in job.examples]
        with self._adapter(job.adapter):
            return train(self.model, self.parameters, examples, job, self.base.device)

    @torch.inference_mode()
    def _likelihood(self, request: LikelihoodRequest) -> list[Likelihood]:
        examples = [self._encode(example) for example in request.examples]
        results: list[Likelihood] = [Likelihood(0.0, 0, 0)] * len(examples)
        with self._adapter(request.adapter):
            costs = [len(example.ids) + self.virtual_tokens for example in examples]
            for batch in split_by_length(costs, self.batch_tokens):
                logits, targets = label_logits(self.model, [examples[index] for index in batch], self.base.device)
                losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none").double()
                counts = [examples[index].label_tokens for index in batch]
                for index, nll in zip(batch, torch.split(losses, counts), strict=True):
                    characters = len(request.examples[index].reply)
                    results[index] = Likelihood(float(nll.sum()), examples[index].label_tokens, characters)
        return results

    def _encode(self, example: Example) -> EncodedExample:
        return encode_example(self.tokenizer, example, self.max_prompt_tokens, self.max_reply_tokens)

    @contextmanager
    def _adapter(self, state: AdapterState | None) -> Iterator[None]:
        """Swaps an adapter's weights in; without one the base answers alone."""
        if state is None:
            with self.model.disable_adapter():
                yield
            return
        check_adapter(state, self.shapes)
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(torch.tensor(state[name]))
        yield
