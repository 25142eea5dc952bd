"""How many tokens a pass of fine-tuning takes, and how many shops share it, by measured memory.

What a step takes of a GPU's memory is counted exactly, and is, for K shops and passes of T tokens,

    M(K, T) = fixed + K shop_bytes + T token_bytes,

which three small trial steps tell. Shops come first, as far as beside them a pass still has tokens enough; then a pass
takes what is left. Both are rounded down to powers of two: the same card, cap, base and adapter give the same passes,
and with them the same last bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import FineTuneJob
from ecc_fed.hosts.memory import GIB, is_out_of_memory
from ecc_fed.hosts.meters import Meter

# Of the trial steps; their passes are small, so that the measuring itself does not run out of memory.
_TOKENS, _MORE_TOKENS, _SHOPS = 256, 768, 4
# Of a pass: with fewer, reading the base's weights takes longer than multiplying by them; more gain nothing.
FEWEST_TOKENS, MOST_TOKENS = 1024, 8192


@runtime_checkable
class MeasuredPasses(Protocol):
    """An end model whose passes of fine-tuning a host may size.

    Attributes:
        training_tokens: of a pass; None leaves it to the end model's own limits.
    """

    training_tokens: int | None

    @property
    def measures_passes(self) -> bool:
        """Whether it wants to be measured; else its settings or its device say how many tokens."""
        ...

    def job_tokens(self, job: FineTuneJob) -> int:
        """Tokens of all examples of a job, which one pass holds whatever its size."""
        ...

    def trial_pass(self, job: FineTuneJob, shops: int, tokens: int) -> None:
        """One step for so many shops with the job's adapter, in one pass of so many tokens."""
        ...


@dataclass(frozen=True, slots=True)
class PassSize:
    """Shops side by side, tokens of a pass, and why."""

    shops: int
    tokens: int
    reason: str


def measure_passes(
    end_model: MeasuredPasses, job: FineTuneJob, meter: Meter, shops: int, wanted: int | None, remedy: str
) -> PassSize:
    """Shops side by side and the size of their passes.

    Args:
        end_model: the host's.
        job: one step as heavy as any shop's.
        meter: counts exactly, and holds the budget.
        shops: at most so many side by side.
        wanted: just so many, as the user wants it, or as many as the host has.
        remedy: what to do where not even one shop fits.

    Raises:
        ConfigError: that is so, or those that are wanted do not fit.
    """
    try:
        few, more, many = (
            meter.peak_bytes(lambda k=k, t=t: end_model.trial_pass(job, k, t))  # type: ignore[misc]
            for k, t in ((1, _TOKENS), (1, _MORE_TOKENS), (_SHOPS, _TOKENS))
        )
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        line = str(error).strip().splitlines()[0]
        raise ConfigError(f"A trial step of {_MORE_TOKENS} tokens runs out of memory ({line}). {remedy}") from None
    token_bytes = max((more - few) / (_MORE_TOKENS - _TOKENS), 1.0)
    copies = sum(tensor.nbytes for tensor in job.adapter.values())
    shop_bytes = max((many - few) / (_SHOPS - 1), 4.0 * copies)
    fixed = few - shop_bytes - _TOKENS * token_bytes
    longest = end_model.job_tokens(job)
    measured = (
        f"the base takes {fixed / GIB:.2f} GiB, a shop {shop_bytes / 2**20:.1f} MiB and a token of a pass "
        f"{token_bytes / 2**20:.3f} MiB; the budget is {meter.budget_bytes / GIB:.2f} GiB ({meter.budget_reason})"
    )
    room = meter.budget_bytes - fixed
    most = int((room - longest * token_bytes) // shop_bytes)
    if most < 1:
        raise ConfigError(f"Not even one shop fits, whose longest step has {longest} tokens: {measured}. {remedy}")
    if wanted is not None:
        shops = min(shops, wanted)
        if most < shops:
            raise ConfigError(f"Of runtime.shops_per_batch={wanted} only {most} fit: {measured}. Lower it. {remedy}")
    else:
        fits = int((room - max(longest, FEWEST_TOKENS) * token_bytes) // shop_bytes)
        shops = shops if fits >= shops else _power_of_two(max(fits, 1))
    left = int((room - shops * shop_bytes) // token_bytes)
    tokens = max(min(MOST_TOKENS, _power_of_two(max(left, 1))), min(longest, MOST_TOKENS))
    chosen = f"runtime.shops_per_batch={wanted}; " if wanted is not None else ""
    return PassSize(shops, tokens, f"{chosen}{shops} shops fit, and passes of {tokens} tokens: {measured}")


def measured_passes(end_model: object, meter: Meter) -> MeasuredPasses | None:
    """The end model, if its passes are to be measured and the meter can."""
    return end_model if meter.exact and isinstance(end_model, MeasuredPasses) and end_model.measures_passes else None


def _power_of_two(most: int) -> int:
    return 1 << (most.bit_length() - 1)
