"""The job by which a host measures how much memory training takes."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import replace

from ecc_fed.core.records import FineTuneJob, OwnExample, Pair, PseudoLabel
from ecc_fed.evolution.answering.replies import to_train_on
from ecc_fed.evolution.experience import as_example
from ecc_fed.evolution.settings import LoopSettings, Services
from ecc_fed.privacy.accounting import NoisySteps


def trial_job(
    sources: Sequence[Pair | PseudoLabel], settings: LoopSettings, services: Services, seed: int
) -> FineTuneJob | None:
    """One step on the longest of what shops may train on, as they would read it. None if nothing is fine-tuned."""
    tuning = settings.fine_tune
    if tuning.steps == 0 or settings.evolution.server_rounds == 0 or not settings.trains:
        return None
    known = [as_example(each) for each in sources]
    examples = to_train_on(heapq.nlargest(tuning.batch_size, known, key=_characters), known, services.answering)
    if not examples:
        return None
    # Every record drawn, each with a gradient of its own.
    rule = None if settings.private is None else settings.private.rule(NoisySteps(1.0, 1.0, 1))
    adapter = services.end_model.new_adapter(seed)
    return FineTuneJob(adapter, None, examples, replace(tuning, steps=1), seed, gradient=rule)


def _characters(example: OwnExample) -> int:
    return sum(len(turn.text) for turn in example.prompt) + len(example.reply)
