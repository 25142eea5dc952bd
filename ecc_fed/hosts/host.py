"""Hosts: processes that keep the base and the judge resident and run their shops' ClientApps.

A host runs a batch of shops side by side, each ClientApp plain and sequential in a thread of its
own; their calls to the services meet and run as batches. Shops beyond the batch take turns, in
shop order: between its turns a shop is on disk alone, and read ahead of the next one.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

from flwr.app import Context, Message, RecordDict

from ecc_fed.core.aggregation import Shapes
from ecc_fed.core.heartbeat import beat, beats
from ecc_fed.core.protocols import Device
from ecc_fed.federation.flower.client_app import client_app
from ecc_fed.federation.flower.internals import CLIENT_APP_RAISED
from ecc_fed.federation.flower.nodes import shop_of
from ecc_fed.federation.wire import records
from ecc_fed.hosts.batch_size import BatchedDevice, BatchSize, choose_batch_size
from ecc_fed.hosts.batches import Batches
from ecc_fed.hosts.caps import limit_gpu, limit_host
from ecc_fed.hosts.importing import import_at_once
from ecc_fed.hosts.jobs import DeviceFactory, Finished, Job, error_reply
from ecc_fed.hosts.meeting import meeting_services
from ecc_fed.hosts.memory import give_back_free_memory, is_out_of_memory, peak_gpu_bytes, peak_resident_bytes
from ecc_fed.hosts.meters import GpuMeter, HostMeter
from ecc_fed.hosts.rendezvous import Rendezvous
from ecc_fed.hosts.reports import HostReport
from ecc_fed.hosts.settings import HostSettings
from ecc_fed.hosts.threads import start_threads


def _end_models_way(device: Device) -> str:
    """What the end model does otherwise than serving a batch's shops together, each step as it comes; often nothing."""
    end_model = device.services.end_model if isinstance(device, BatchedDevice) else None
    why = getattr(end_model, "fallback_reason", None)
    if why:
        return f"; the end model serves them one after another: {why}"
    way = getattr(end_model, "reply_way", None)
    return f"; {way}" if way else ""


def _replied(jobs: Sequence[Job], finished: frozenset[str]) -> bool:
    """Whether all of these have."""
    return all(job.shop_id in finished for job in jobs)


class ShopHost:
    """One host: a device built once, and its shops a batch at a time, in the order given.

    `base_loads` is the device's own count of how often its base was loaded in this process; a
    device that keeps none counts as one load, its making.
    """

    def __init__(self) -> None:
        self._device: Device | None = None
        self._app = client_app(self._device_of)
        self._contexts: dict[str, Context] = {}
        self._batch_reason = ""
        self._pass_tokens: int | None = None
        self._batches = Batches(1)
        self._rendezvous = Rendezvous(self._batches.execute)
        self._peak_gpu_bytes = 0
        self._busy_seconds = 0.0

    def open(
        self,
        device_factory: DeviceFactory,
        shop_ids: tuple[str, ...],
        settings: HostSettings,
        hosts_here: int = 1,
        kept: BatchSize | None = None,
    ) -> tuple[str, ...]:
        """Builds the device for a new run, chooses how many shops run side by side, and returns the device's shops.

        `hosts_here` hosts share this machine's memory; `kept` was chosen when the run started.
        """
        self._device = None  # the former run's device must not stay beside the new one
        self._contexts.clear()
        limit_host(None)  # loading a model takes more for a moment than keeping it
        gpu_bytes = limit_gpu(settings.gpu_memory_gib) if settings.use_gpu else None
        device = device_factory(shop_ids)
        limit_host(settings.host_memory_gib)
        meter = HostMeter(settings.host_memory_gib, hosts_here) if gpu_bytes is None else GpuMeter(gpu_bytes)
        self._peak_gpu_bytes = peak_gpu_bytes()  # a trial starts the count again
        size = choose_batch_size(device, settings.shops_per_batch, meter, kept)
        limit_host(settings.host_memory_gib, threads=size.size + 1)
        self._pass_tokens = size.pass_tokens
        way = _end_models_way(device)  # a reason that was kept ends with it
        self._batch_reason = size.reason if way in size.reason else size.reason + way
        self._busy_seconds = 0.0
        self._batches = Batches(size.size)
        self._rendezvous = Rendezvous(self._batches.execute)
        if isinstance(device, BatchedDevice):
            device.services = meeting_services(device.services, self._rendezvous)
        self._device = device
        return tuple(device.shop_ids)

    def adapter_shapes(self) -> Shapes:
        """Names and shapes of a fresh adapter of the open run."""
        assert self._device is not None, "open comes before adapter_shapes"
        return self._device.adapter_shapes()

    def prepare(self, imports: Sequence[str]) -> None:
        """Imports modules before there is a device."""
        import_at_once(imports)

    def run(self, jobs: Sequence[Job], finished: frozenset[str] = frozenset()) -> Iterator[Finished]:
        """The round's jobs of this host.

        Args:
            jobs: all of them, in shop order.
            finished: shops that have replied already, before a host died. Batches of these alone are not done
                again; in other batches they take part again, as they did before, and their second reply, which is
                the same, is dropped.
        """
        assert self._device is not None, "open comes before run"
        waiting, began = deque(jobs), time.perf_counter()
        if jobs:
            self._batches.server_round = records.phase_and_round(jobs[0].message)[1]
        while waiting:
            wave = [waiting.popleft() for _ in range(min(self._batches.limit, len(waiting)))]
            if _replied(wave, finished):
                continue
            again: list[int] = []
            started = time.perf_counter()
            work = records.phase_and_round(wave[0].message)
            if isinstance(self._device, BatchedDevice) and records.is_work(work[0]):
                self._device.side_by_side([job.shop_id for job in wave], *work)
            next_wave = list(islice(waiting, self._batches.limit))
            if _replied(next_wave, finished):
                next_wave = []
            ahead = threading.Thread(target=self._read_ahead, args=(next_wave,), name="read-ahead", daemon=True)
            start_threads([ahead])
            for ended in self._rendezvous.run([partial(self._reply, job) for job in wave]):
                job, reply = wave[ended.place], ended.result
                if ended.error is not None:
                    if is_out_of_memory(ended.error) and len(wave) > 1:
                        # Its own part of the work, not a batch: it gets another turn, among fewer.
                        self._batches.halve(len(wave), ended.error)
                        again.append(ended.place)
                        continue
                    reply = error_reply(job.message, CLIENT_APP_RAISED, ended.error)
                assert reply is not None, "a task returns a reply or raises"
                beat()
                if job.shop_id not in finished:
                    yield Finished(job.shop_id, reply, time.perf_counter() - started)
            waiting.extendleft(wave[place] for place in sorted(again, reverse=True))
            ahead.join()
            give_back_free_memory()  # so that a later wave takes no more than the first
        self._busy_seconds += time.perf_counter() - began

    def _read_ahead(self, jobs: Sequence[Job]) -> None:
        """Runs in a thread of its own: the next wave's states, while this wave is at work."""
        if isinstance(self._device, BatchedDevice):
            wanted = {job.shop_id: records.goes_on_from(job.message) for job in jobs}
            self._device.read_ahead({shop_id: before for shop_id, before in wanted.items() if before is not None})

    def _device_of(self, context: Context) -> tuple[Device, str]:
        assert self._device is not None, "open comes before run"
        return self._device, shop_of(context.node_config, self._device.shop_ids)

    def _reply(self, job: Job) -> Message:
        """Runs in a shop's thread."""
        return self._app(job.message, self._context(job))

    def _context(self, job: Job) -> Context:
        """The shop's Flower context, which lives as long as the run."""
        if job.shop_id not in self._contexts:
            metadata = job.message.metadata
            self._contexts[job.shop_id] = Context(
                metadata.run_id, metadata.dst_node_id, dict(job.node_config), RecordDict(), {}
            )
        return self._contexts[job.shop_id]

    def report(self) -> HostReport:
        """What this process used so far."""
        return HostReport(
            base_loads=int(getattr(self._device, "base_loads", 1)),
            peak_rss_bytes=peak_resident_bytes(),
            peak_gpu_bytes=max(self._peak_gpu_bytes, peak_gpu_bytes()),
            shops_per_batch=self._batches.limit,
            batch_reason=self._batch_reason,
            halvings=tuple(self._batches.halvings),
            busy_seconds=self._busy_seconds,
            service_seconds=dict(self._batches.service_seconds),
            pass_tokens=self._pass_tokens,
        )

    def progress(self) -> int:
        """A count that moves as long as this process gets anywhere; to be asked for while it is at work."""
        return beats()

    def process_id(self) -> int:
        """The operating system's id of this process."""
        return os.getpid()
