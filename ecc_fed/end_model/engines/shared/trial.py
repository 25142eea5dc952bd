"""A step of fine-tuning of a given size, by which a host measures what memory a token and a shop take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ecc_fed.core.records import FineTuneJob
from ecc_fed.end_model.training.examples import EncodedExample

# All but the first token are labels. Where every example has a gradient of its own they are short: a token then takes
# the more memory the shorter its example is.
_TOKENS, _TOKENS_OF_A_RECORD = 64, 16


def trial_examples(shops: int, tokens: int, per_example: bool) -> list[list[EncodedExample]]:
    """Every shop's examples, `tokens` tokens in all; of as many shops that each gets two tokens or more."""
    length = _TOKENS_OF_A_RECORD if per_example else _TOKENS
    made = []
    for shop in range(shops):
        own = tokens // shops + (shop < tokens % shops)
        sizes = [length] * (own // length)
        if own % length > 1 or not sizes:
            sizes.append(own % length)
        made.append([EncodedExample([0] * size, 1) for size in sizes])
    return made


def trial_job(job: FineTuneJob, examples: Sequence[EncodedExample]) -> FineTuneJob:
    """The job as one step over as many examples."""
    settings = replace(job.settings, steps=1, batch_size=len(examples))
    return replace(job, examples=job.examples[:1] * len(examples), settings=settings)
