"""The ways to compute the adapters' products, timed on one projection."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

import torch

from ecc_fed.end_model.engines.shared.grouped_product import grouped_by_torch, grouped_plain
from ecc_fed.end_model.engines.shared.grouped_rows import GroupedRows
from ecc_fed.end_model.engines.shared.groups import Groups
from experiments.benchmarks.shops import RANK


def wall_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Until the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def median_seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """After one call that does not count."""
    work()
    return median(wall_seconds(work, device) for _ in range(repeats))


def adapter_ways(sizes: Sequence[int], device: torch.device) -> dict[str, Groups]:
    """The ways to compute the adapters' products for groups of these sizes."""
    rows = range(len(sizes))
    ways: dict[str, Groups] = {
        "segments": Groups(rows, sizes, device, loop=True),
        "padded": Groups(rows, sizes, device, loop=False),
    }
    ways["grouped"] = GroupedRows(rows, sizes, device, grouped_by_torch() or grouped_plain)
    return ways


def adapter_seconds(
    sizes: Sequence[int], width: int, device: torch.device, dtype: torch.dtype, repeats: int
) -> dict[str, float | None]:
    """Each way's seconds for one projection's three kinds of products; None where torch refuses the dtype here."""
    generator = torch.Generator(device).manual_seed(0)
    x, h, w = (
        torch.randn(*size, device=device, generator=generator).to(dtype)
        for size in ((sum(sizes), width), (sum(sizes), RANK), (len(sizes), RANK, width))
    )
    out = torch.empty_like(w)

    def work(way: Groups) -> None:
        way.project(x, w)
        way.add_back(x, h, w)
        way.outer(h, x, out)

    seconds: dict[str, float | None] = {}
    for name, way in adapter_ways(sizes, device).items():
        try:
            seconds[name] = median_seconds(partial(work, way), device, repeats)
        except (RuntimeError, NotImplementedError):
            seconds[name] = None
    return seconds
