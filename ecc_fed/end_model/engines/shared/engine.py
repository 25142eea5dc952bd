"""The shared engine: one resident base, an adapter per row, all shops' work in one batch.

K shops cost little more than one: every product with the frozen base runs once over all shops'
tokens. Results equal those of `PeftEngine` job by job, within rounding; with LoRA dropout the two
draw other masks, and here a shop's masks are its own whoever shares the batch.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypeGuard

import torch

from ecc_fed.core.errors import ConfigError
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
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.adapters.settings import AdapterSettings
from ecc_fed.end_model.adapters.tensors import fresh_adapter
from ecc_fed.end_model.base import Base
from ecc_fed.end_model.engines.batching import split_by_length
from ecc_fed.end_model.engines.sampling import Row, make_rows
from ecc_fed.end_model.engines.shared.adapter_banks import AdapterBanks, read_results
from ecc_fed.end_model.engines.shared.compute_plan import ComputePlan
from ecc_fed.end_model.engines.shared.likelihood import label_losses
from ecc_fed.end_model.engines.shared.pass_tokens import training_pass_tokens
from ecc_fed.end_model.engines.shared.reply_batches import reply_batches
from ecc_fed.end_model.engines.shared.reply_plan import plan_replies
from ecc_fed.end_model.engines.shared.support import UnsupportedBase, check_parts, check_supported
from ecc_fed.end_model.engines.shared.taking_apart import take_apart
from ecc_fed.end_model.engines.shared.training import train_batch
from ecc_fed.end_model.engines.shared.trial import trial_examples, trial_job
from ecc_fed.end_model.limits import TokenLimits
from ecc_fed.end_model.text.decoding import decode_reply
from ecc_fed.end_model.text.prompting import encode_prompt
from ecc_fed.end_model.training.examples import EncodedExample, encode_example
from ecc_fed.end_model.training.jobs import check_job
from ecc_fed.models.chat_ids import encode_text
from ecc_fed.models.opening import refusing

_LOG = logging.getLogger(__name__)


def serves(settings: AdapterSettings) -> TypeGuard[Lora]:
    """Whether adapters of that kind are low-rank pairs and no more."""
    return isinstance(settings, Lora) and settings.pairs_alone


class SharedEngine:
    """An `EndModel` that serves and trains any number of adapters over one frozen base.

    Adapters may differ in rank; the settings' rank is that of new ones, and every adapter is scaled
    by its own. With `base_products="bf16"` the frozen matrices are kept and multiplied in bf16, all
    else in fp32: about three times as fast on a CPU with such units. `plan` is how passes are computed; None takes the
    device's. The base's model gives its weights away and is of no use afterwards, unless the base is not supported.

    Raises:
        UnsupportedBase: a base of another family than those of `families`, one with parts that are computed
            nowhere here, or an adapter that is more than low-rank pairs.
        ConfigError: unknown `base_products`.
    """

    # It never stands in for another.
    fallback_reason: str | None = None

    def __init__(
        self,
        base: Base,
        settings: AdapterSettings,
        limits: TokenLimits | None = None,
        base_products: str = "same",
        plan: ComputePlan | None = None,
    ) -> None:
        if base_products not in ("same", "bf16"):
            raise ConfigError(f"base_products={base_products!r} is unknown; take same or bf16")
        if not serves(settings):
            raise UnsupportedBase(f"a {settings.method} adapter is more than pairs of low-rank matrices")
        self.limits = limits or TokenLimits()
        planned = self.limits.max_prompt_tokens + self.limits.max_reply_tokens
        check_supported(base.model.config, settings.target_modules, planned)
        check_parts(base.model)
        self.settings, self.path = settings, base.path
        self.tokenizer, self.end_marks, self.device = base.tokenizer, base.end_marks, base.device
        self.system = base.system
        product_dtype = torch.bfloat16 if base_products == "bf16" else None
        with refusing("end model", base.path, "cannot be taken apart", "take another base"):
            self.packed_base = take_apart(base.model, base.device, product_dtype, plan)
        self.reply_plan = plan_replies(self.packed_base, planned, self.limits.pass_tokens)
        if self.reply_plan is not None:
            _LOG.info("%s: %s", base.path, self.reply_plan.reason)
        self.banks = AdapterBanks(self.packed_base, settings)
        self.shapes = self.banks.layout(settings.rank).shapes()
        # Of a pass of fine-tuning, as a host has measured; None: as the limits say.
        self.training_tokens: int | None = None

    @property
    def reply_way(self) -> str | None:
        """How replies are made and why so, for the run's record; None: batch by batch, each step as it comes."""
        return None if self.reply_plan is None else self.reply_plan.reason

    def new_adapter(self, seed: int) -> AdapterState:
        """A fresh adapter from `seed` alone; B = 0 leaves the base's output unchanged."""
        return fresh_adapter(self.shapes, seed)

    def count_tokens(self, text: str) -> int:
        """Tokens of `text`, without special tokens."""
        return len(encode_text(self.tokenizer, text))

    def reply(self, requests: Sequence[ReplyRequest]) -> list[list[str]]:
        """One text for every prompt of every request; raises as `measured_reply`."""
        return [[reply.text for reply in replies] for replies in self.measured_reply(requests)]

    def measured_reply(self, requests: Sequence[ReplyRequest]) -> list[list[MeasuredReply]]:
        """One reply with its margin for every prompt of every request, all requests in shared batches.

        Raises:
            ConfigError: decoding out of range.
            ModelError: an adapter that does not fit the base.
        """
        adapters, bank_rows = self.banks.serve(
            [request.adapter for request in requests], [request.lora_alpha for request in requests]
        )
        rows: list[tuple[Row, int, int, int]] = []  # row, bank row, request, prompt
        for number, request in enumerate(requests):
            prompts = [
                encode_prompt(self.tokenizer, turns, self.limits.max_prompt_tokens, self.system)
                for turns in request.prompts
            ]
            for index, row in enumerate(make_rows(prompts, request.decoding, request.seed)):
                rows.append((row, bank_rows[number], number, index))
        self._require_positions(max((row.total_tokens for row, *_ in rows), default=0))
        replies = [[MeasuredReply("", 0.0)] * len(request.prompts) for request in requests]
        costs = [row.total_tokens for row, *_ in rows]
        for batch, generate in reply_batches(
            self.packed_base, self.reply_plan, adapters, costs, self.limits.pass_tokens
        ):
            chosen = sorted((rows[index] for index in batch), key=lambda entry: entry[1:])
            own, banks = [row for row, *_ in chosen], [bank for _, bank, *_ in chosen]
            for (_, _, number, index), drawn in zip(chosen, generate(own, banks, self.end_marks), strict=True):
                replies[number][index] = MeasuredReply(decode_reply(self.tokenizer, drawn.ids), drawn.margin)
        return replies

    def fine_tune(self, jobs: Sequence[FineTuneJob]) -> list[FineTuneResult]:
        """One result for every job, all jobs a step at a time over the shared base.

        A job that diverges harms no other: its losses are not finite, and so is its adapter.

        Raises:
            ConfigError: settings out of range, or steps without examples.
            ModelError: an adapter that does not fit the base, or an optimizer state that does not
                fit its adapter.
        """
        for job in jobs:
            check_job(job)
        if not jobs:
            return []
        # Those that end first come last, so that shops at work are always the first rows.
        order = sorted(range(len(jobs)), key=lambda index: -jobs[index].settings.steps)
        chosen = [jobs[index] for index in order]
        examples = [[self._encode(example) for example in job.examples] for job in chosen]
        shop_jobs, bank = self.banks.train(chosen, examples)
        tokens = self.training_tokens or training_pass_tokens(self.packed_base, self.limits)
        train_batch(self.packed_base, bank, shop_jobs, self.settings.lora_dropout, tokens)
        results = dict(zip(order, read_results(bank, shop_jobs), strict=True))
        return [results[index] for index in range(len(jobs))]

    @property
    def measures_passes(self) -> bool:
        """Whether a host may size the passes of fine-tuning by measured memory (`training_tokens`)."""
        return self.limits.batch_tokens is None and self.packed_base.plan.measured_passes

    def job_tokens(self, job: FineTuneJob) -> int:
        """Tokens of all examples of a job, as they are read."""
        return sum(len(self._encode(example).ids) for example in job.examples)

    def trial_pass(self, job: FineTuneJob, shops: int, tokens: int) -> None:
        """One step for `shops` shops with the job's adapter, in one pass of `tokens` tokens, which leaves nothing."""
        examples = trial_examples(shops, tokens, job.rule.per_example)
        jobs = [trial_job(job, own) for own in examples]
        shop_jobs, bank = self.banks.train(jobs, examples)
        train_batch(self.packed_base, bank, shop_jobs, self.settings.lora_dropout, tokens)
        read_results(bank, shop_jobs)

    def likelihood(self, requests: Sequence[LikelihoodRequest]) -> list[list[Likelihood]]:
        """Teacher-forced likelihood of every example of every request, all in shared batches."""
        adapters, bank_rows = self.banks.serve(
            [request.adapter for request in requests], [request.lora_alpha for request in requests]
        )
        rows = [
            (bank_rows[number], number, index, self._encode(example))
            for number, request in enumerate(requests)
            for index, example in enumerate(request.examples)
        ]
        results = [[Likelihood(0.0, 0, 0)] * len(request.examples) for request in requests]
        for batch in split_by_length([len(row[3].ids) for row in rows], self.limits.pass_tokens):
            beat()
            chosen = sorted((rows[index] for index in batch), key=lambda row: row[:3])
            losses = label_losses(self.packed_base, adapters, [row[3] for row in chosen], [row[0] for row in chosen])
            for (_, number, index, example), nll in zip(chosen, losses, strict=True):
                characters = len(requests[number].examples[index].reply)
                each = tuple(nll.tolist())
                results[number][index] = Likelihood(float(nll.sum()), example.label_tokens, characters, each)
        return results

    def _require_positions(self, tokens: int) -> None:
        positions = self.packed_base.positions
        if positions is not None and tokens > positions:
            raise ConfigError(
                f"the end model {self.path} has rotary frequencies for {positions} positions, and a prompt with its "
                f"longest reply takes {tokens}: lower end_model.max_prompt_tokens or decoding.max_new_tokens"
            )

    def _encode(self, example: Example) -> EncodedExample:
        limits = self.limits
        return encode_example(self.tokenizer, example, limits.max_prompt_tokens, limits.max_reply_tokens, self.system)
