"""The shared engine: one resident base, an adapter per row, all shops' work in one batch.

K shops cost little more than one: every product with the frozen base runs once over all shops'
tokens. Results equal those of `PeftEngine` job by job, within rounding; with LoRA dropout the two
draw other masks, and here a shop's masks are its own whoever shares the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import (
    AdapterState,
    Example,
    FineTuneJob,
    FineTuneResult,
    Likelihood,
    LikelihoodRequest,
    OptimizerState,
    ReplyRequest,
)
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.adapters.settings import AdapterSettings
from ecc_fed.end_model.adapters.tensors import check_adapter, fresh_adapter
from ecc_fed.end_model.base import Base
from ecc_fed.end_model.engines.sampling import Row, make_rows, split_by_length
from ecc_fed.end_model.engines.shared.bank import AdapterLayout, adapter_rank, load_rows
from ecc_fed.end_model.engines.shared.forward import forward_packed, pack
from ecc_fed.end_model.engines.shared.generation import generate_batch
from ecc_fed.end_model.engines.shared.layers import ActiveAdapters, label_nll
from ecc_fed.end_model.engines.shared.packed_base import UnsupportedBase, check_supported, take_apart
from ecc_fed.end_model.engines.shared.training import LOGITS, ShopJob, TrainingBank, train_batch
from ecc_fed.end_model.limits import TokenLimits
from ecc_fed.end_model.text.prompting import decode_reply, encode_prompt, encode_text
from ecc_fed.end_model.training.finetune import EncodedExample, check_job, encode_example, read_optimizer


class SharedEngine:
    """An `EndModel` that serves and trains any number of adapters over one frozen base.

    Adapters may differ in rank; the settings' rank is that of new ones, and every adapter is scaled
    by its own. With `base_products="bf16"` the frozen matrices are kept and multiplied in bf16, all
    else in fp32: about three times as fast on a CPU with such units. The base's model gives its
    weights away and is of no use afterwards, unless the base is not supported.

    Raises:
        UnsupportedBase: a base of another family than Llama, Qwen2, Qwen3 or GLM, or an adapter that
            is more than low-rank pairs.
        ConfigError: unknown `base_products`.
    """

    # It never stands in for another.
    fallback_reason: str | None = None

    def __init__(
        self, base: Base, settings: AdapterSettings, limits: TokenLimits | None = None, base_products: str = "same"
    ) -> None:
        if base_products not in ("same", "bf16"):
            raise ConfigError(f"base_products={base_products!r} is unknown; take same or bf16")
        if not isinstance(settings, Lora) or not settings.pairs_alone:
            raise UnsupportedBase(f"a {settings.method} adapter is more than pairs of low-rank matrices")
        check_supported(base.model.config, settings.target_modules)
        self.settings = settings
        self.limits = limits or TokenLimits()
        self.tokenizer, self.end_ids, self.device = base.tokenizer, base.end_ids, base.device
        product_dtype = torch.bfloat16 if base_products == "bf16" else None
        self.packed_base = take_apart(base.model, base.device, product_dtype)
        self._layouts: dict[int, AdapterLayout] = {}
        self.shapes = self._layout(self.settings.rank).shapes()

    def new_adapter(self, seed: int) -> AdapterState:
        """A fresh adapter from `seed` alone; B = 0 leaves the base's output unchanged."""
        return fresh_adapter(self.shapes, seed)

    def count_tokens(self, text: str) -> int:
        """Tokens of `text`, without special tokens."""
        return len(encode_text(self.tokenizer, text))

    def reply(self, requests: Sequence[ReplyRequest]) -> list[list[str]]:
        """One text for every prompt of every request, all requests in shared batches.

        Raises:
            ConfigError: decoding out of range.
            ModelError: an adapter that does not fit the base.
        """
        adapters, bank_rows = self._adapters([request.adapter for request in requests])
        rows: list[tuple[Row, int, int, int]] = []  # row, bank row, request, prompt
        for number, request in enumerate(requests):
            prompts = [encode_prompt(self.tokenizer, turns, self.limits.max_prompt_tokens) for turns in request.prompts]
            for index, row in enumerate(make_rows(prompts, request.decoding, request.seed)):
                rows.append((row, bank_rows[number], number, index))
        replies = [[""] * len(request.prompts) for request in requests]
        for batch in split_by_length([row.total_tokens for row, *_ in rows], self.limits.batch_tokens):
            chosen = sorted((rows[index] for index in batch), key=lambda entry: entry[1:])
            generated = generate_batch(
                self.packed_base, adapters, [row for row, *_ in chosen], [bank for _, bank, *_ in chosen], self.end_ids
            )
            for (_, _, number, index), ids in zip(chosen, generated, strict=True):
                replies[number][index] = decode_reply(self.tokenizer, ids)
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
        order = sorted(range(len(jobs)), key=lambda index: -jobs[index].settings.steps)
        chosen = [jobs[index] for index in order]
        ranks = [adapter_rank(job.adapter, self.settings.rank) for job in chosen]
        layout = self._layout(max(ranks))
        shop_jobs, bank = self._training_bank(layout, chosen, ranks)
        train_batch(self.packed_base, bank, shop_jobs, self.settings.lora_dropout, self.limits.batch_tokens)
        results = self._results(bank, shop_jobs, ranks)
        return [result for _, result in sorted(zip(order, results, strict=True), key=lambda pair: pair[0])]

    @torch.inference_mode()
    def likelihood(self, requests: Sequence[LikelihoodRequest]) -> list[list[Likelihood]]:
        """Teacher-forced likelihood of every example of every request, all in shared batches."""
        adapters, bank_rows = self._adapters([request.adapter for request in requests])
        rows = [
            (bank_rows[number], number, index, self._encode(example))
            for number, request in enumerate(requests)
            for index, example in enumerate(request.examples)
        ]
        results = [[Likelihood(0.0, 0, 0)] * len(request.examples) for request in requests]
        for batch in split_by_length([len(row[3].ids) for row in rows], self.limits.batch_tokens):
            chosen = sorted((rows[index] for index in batch), key=lambda row: row[:3])
            losses = self._label_losses(adapters, [row[3] for row in chosen], [row[0] for row in chosen])
            for (_, number, index, example), nll in zip(chosen, losses, strict=True):
                characters = len(requests[number].examples[index].reply)
                results[number][index] = Likelihood(nll, example.label_tokens, characters)
        return results

    def _encode(self, example: Example) -> EncodedExample:
        return encode_example(self.tokenizer, example, self.limits.max_prompt_tokens, self.limits.max_reply_tokens)

    def _layout(self, rank: int) -> AdapterLayout:
        if rank not in self._layouts:
            self._layouts[rank] = AdapterLayout(self.packed_base, rank, self.settings.target_modules)
        return self._layouts[rank]

    def _scale(self, ranks: Sequence[int]) -> torch.Tensor:
        scale = torch.tensor([self.settings.scale_at(rank) for rank in ranks], dtype=torch.float64)
        return scale.to(self.device, self.packed_base.dtype)

    def _adapters(self, states: Sequence[AdapterState | None]) -> tuple[ActiveAdapters | None, list[int]]:
        """A bank of the distinct adapters, and every request's row in it; None if all want the bare base."""
        distinct: list[AdapterState | None] = []
        places: dict[int, int] = {}
        rows = []
        for state in states:
            if id(state) not in places:
                places[id(state)] = len(distinct)
                distinct.append(state)
            rows.append(places[id(state)])
        if all(state is None for state in distinct):
            return None, rows
        own = self.settings.rank
        ranks = [own if state is None else adapter_rank(state, own) for state in distinct]
        layout = self._layout(max(ranks))
        for state, rank in zip(distinct, ranks, strict=True):
            if state is not None:
                check_adapter(state, layout.shapes(rank))
        flat = load_rows(layout, distinct, self.packed_base)
        return ActiveAdapters(layout, flat, self._scale(ranks)), rows

    def _label_losses(
        self, adapters: ActiveAdapters | None, examples: Sequence[EncodedExample], bank_rows: Sequence[int]
    ) -> list[float]:
        """Summed -log p of each example's labels; bank rows ascending."""
        groups = sorted(set(bank_rows))
        wanted = [range(example.prompt_length - 1, len(example.ids) - 1) for example in examples]
        sizes = [bank_rows.count(row) for row in groups]
        packed = pack([example.ids for example in examples], wanted, sizes, groups, self.device)
        targets = torch.tensor([token for e in examples for token in e.ids[e.prompt_length :]], device=self.device)
        hidden = forward_packed(self.packed_base, packed, adapters)
        slice_rows = max(1, LOGITS // self.packed_base.embedding.shape[0])
        losses = label_nll(hidden, self.packed_base.head, targets, slice_rows).double()
        return [float(part.sum()) for part in torch.split(losses, [example.label_tokens for example in examples])]

    def _training_bank(
        self, layout: AdapterLayout, jobs: Sequence[FineTuneJob], ranks: Sequence[int]
    ) -> tuple[list[ShopJob], TrainingBank]:
        shop_jobs, first, second = [], [], []
        for job, rank in zip(jobs, ranks, strict=True):
            shapes = layout.shapes(rank)
            check_adapter(job.adapter, shapes)
            start, m, v = read_optimizer(job.optimizer, shapes)
            first.append(m)
            second.append(v)
            encoded = [self._encode(example) for example in job.examples]
            shop_jobs.append(ShopJob(job, encoded, start, rank))
        base = self.packed_base
        flat = load_rows(layout, [job.adapter for job in jobs], base)
        scale = self._scale(ranks)
        return shop_jobs, TrainingBank(
            layout, flat, load_rows(layout, first, base), load_rows(layout, second, base), scale
        )

    def _results(self, bank: TrainingBank, jobs: Sequence[ShopJob], ranks: Sequence[int]) -> list[FineTuneResult]:
        flat, first, second = (part.float().cpu().numpy() for part in (bank.flat, bank.first, bank.second))
        results = []
        for k, (job, rank) in enumerate(zip(jobs, ranks, strict=True)):
            optimizer: OptimizerState = {
                "step": np.array(job.start + job.settings.steps, np.float32),
                **{f"m.{name}": array for name, array in bank.layout.read(first[k], rank).items()},
                **{f"v.{name}": array for name, array in bank.layout.read(second[k], rank).items()},
            }
            adapter = bank.layout.read(flat[k], rank)
            results.append(FineTuneResult(adapter, optimizer, tuple(job.losses), job.label_tokens))
        return results
