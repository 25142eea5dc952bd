"""How many shops a host runs side by side: as many as a measured trial step says its memory holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.protocols import Device
from ecc_fed.core.records import AdapterState, FineTuneJob
from ecc_fed.evolution.settings import Services
from ecc_fed.hosts.memory import GIB, OutOfMemory, free_caches, is_out_of_memory
from ecc_fed.hosts.meters import Meter
from ecc_fed.hosts.pass_size import measure_passes, measured_passes

# More shops than this only wait for each other: a pass over the base is full long before.
MOST_SHOPS = 128
# The trial's second step: enough rows to stand out of the noise of a process's memory.
_TRIAL_SHOPS = 4
# An adapter, its gradient, both of Adam's moments, their copies on the way in and out, and, of the shop
# whose turn is next, the adapter and the moments.
_ADAPTER_COPIES = 11
_KEPT = "as at the start of the run: "


@runtime_checkable
class BatchedDevice(Device, Protocol):
    """A device whose shops may run side by side: all that they share goes through `services`."""

    services: Services

    def trial_job(self) -> FineTuneJob | None:
        """One step as heavy as any shop's: the longest examples of all. None if nothing is ever fine-tuned."""
        ...

    def side_by_side(self, shop_ids: Sequence[str], phase: str, server_round: int) -> None:
        """Tells which shops, in their order, are about to do this work together.

        They share their batches, and with them the last bits; so their work counts as finished once all have saved it.
        """
        ...

    def read_ahead(self, before_round: Mapping[str, int]) -> None:
        """Reads the states from which shops are about to go on, each by its newest round before the one given.

        Runs in a thread of its own while other shops are at work. Never raises: what cannot be read
        is the matter of the shop's own call.
        """
        ...


@dataclass(frozen=True, slots=True)
class BatchSize:
    """Shops side by side in one host, and why so many; tokens of a pass of fine-tuning, where they were measured."""

    size: int
    reason: str
    pass_tokens: int | None = None


def choose_batch_size(
    device: Device, shops_per_batch: int | None, meter: Meter, kept: BatchSize | None = None
) -> BatchSize:
    """The shops side by side in one host.

    The trial runs one step of the longest rows for one shop and for a few; the difference is what
    a shop takes. Sizes below the number of shops are powers of two, so that small differences of
    free memory between two runs do not change the batches, and with them the last bits. An end model
    whose passes can be measured (`pass_size`) has them sized as well.

    Args:
        device: the host's shops.
        shops_per_batch: a size given by the user.
        meter: measures, and holds the budget.
        kept: what this host's place had when the run started, which is not measured anew.

    Raises:
        ConfigError: not even one shop fits into the budget, or the device is a `BatchedDevice` in part.
    """
    shops = len(device.shop_ids)
    if not isinstance(device, BatchedDevice):
        if hasattr(device, "services"):
            raise ConfigError(
                f"{type(device).__name__} has services that shops share, and lacks another part of a BatchedDevice, "
                "so they would run one after another. Give it trial_job, side_by_side and read_ahead, or no services."
            )
        return BatchSize(1, "one shop after another: this device's shops share no services")
    end_model = device.services.end_model
    passes = measured_passes(end_model, meter)
    pass_tokens = None if kept is None else kept.pass_tokens
    if passes is not None:
        passes.training_tokens = pass_tokens  # an end model outlives a run
        if kept is None and (job := device.trial_job()) is not None:
            found = measure_passes(passes, job, meter, min(shops, MOST_SHOPS), shops_per_batch, _REMEDY)
            passes.training_tokens = found.tokens
            return BatchSize(found.shops, found.reason, found.tokens)
    if shops_per_batch is not None:
        return BatchSize(min(shops_per_batch, max(shops, 1)), f"runtime.shops_per_batch={shops_per_batch}", pass_tokens)
    if kept is not None:
        return BatchSize(min(kept.size, max(shops, 1)), f"{_KEPT}{kept.reason.removeprefix(_KEPT)}", pass_tokens)
    most = max(1, min(shops, MOST_SHOPS))
    job = device.trial_job()
    if most == 1 or job is None:
        return BatchSize(most, "nothing is fine-tuned: no trial" if job is None else "the host has one shop")
    try:
        alone = meter.peak_bytes(lambda: end_model.fine_tune([job]))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise ConfigError(f"A trial step of one shop runs out of memory ({_first_line(error)}). {_REMEDY}") from None
    try:
        few = meter.peak_bytes(lambda: end_model.fine_tune([job] * _TRIAL_SHOPS))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        free_caches()
        return BatchSize(1, f"a trial step of {_TRIAL_SHOPS} shops ran out of memory: {_first_line(error)}")
    row = max((few - alone) / (_TRIAL_SHOPS - 1), _ADAPTER_COPIES * _bytes_of(job.adapter))
    fits = int((meter.budget_bytes - (alone - row)) // row)
    measured = (
        f"a trial step took {alone / GIB:.2f} GiB with one shop and {row / 2**20:.1f} MiB more for each further shop; "
        f"the budget is {meter.budget_bytes / GIB:.2f} GiB ({meter.budget_reason})"
    )
    if fits < 1:
        raise ConfigError(f"Not even one shop fits: {measured}. {_REMEDY}")
    if fits >= most:
        bound = "all shops of the host" if most == shops else f"{most} shops, more of which would only wait"
        return BatchSize(most, f"{bound} fit: {measured}")
    size = 1 << (fits.bit_length() - 1)
    return BatchSize(size, f"{fits} shops fit, rounded down to a power of two: {measured}")


def check_kept(kept: Sequence[BatchSize], hosts: int) -> None:
    """Refuses fewer hosts than those whose batch sizes were kept: shops would meet others in their batches.

    Raises:
        ConfigError: says how many there were.
    """
    if len(kept) > hosts:
        raise ConfigError(
            f"The run started on {len(kept)} hosts and cannot go on with {hosts}: its shops would be in other batches, "
            "and its figures others. Go on where there is room for as many."
        )


_REMEDY = (
    "Lower finetune.batch_size or end_model.max_prompt_tokens, take end_model.quantization=nf4, or raise "
    "runtime.gpu_memory_gib or runtime.host_memory_gib."
)


def out_of_memory(name: str, error: Exception) -> OutOfMemory:
    """What a shop is told whose own call does not fit."""
    return OutOfMemory(f"{name} of one shop alone runs out of memory ({_first_line(error)}). {_REMEDY}")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _bytes_of(state: AdapterState) -> int:
    return sum(tensor.nbytes for tensor in state.values())
