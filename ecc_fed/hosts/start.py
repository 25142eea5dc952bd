"""Starting and ending what a simulated federation runs on: Ray, and the hosts on it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

from ecc_fed.core.cpus import limit_threads, usable_cpus
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.proxies import spare_loopback
from ecc_fed.federation.flower.internals import apply_telemetry_setting
from ecc_fed.hosts.actor import START_SECONDS
from ecc_fed.hosts.ray_hosts import RayHosts
from ecc_fed.hosts.ray_private import connecting, give_token
from ecc_fed.hosts.scratch import scratch
from ecc_fed.hosts.search_path import job_config
from ecc_fed.hosts.settings import MEASURED, HostSettings
from ecc_fed.hosts.signals import signals_later
from ecc_fed.hosts.waiting import RayDied

# Ray keeps messages between processes here; adapters are a few MB per shop and round.
_OBJECT_STORE_BYTES = 512 * 2**20
_START_ATTEMPTS = 3


def quiet_engines() -> None:
    """Flower and Ray report nothing to anyone and print no progress of their own.

    A value that the user has set in the environment stands.
    """
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    apply_telemetry_setting()
    if "FLWR_LOG_LEVEL" not in os.environ:
        logging.getLogger("flwr").setLevel(logging.WARNING)


def prepare_process() -> None:
    """Before anything is loaded that hosts stand on: quiet engines, loopback without a proxy, threads as CPUs."""
    quiet_engines()
    spare_loopback()
    limit_threads()


@contextmanager
def ray_hosts(settings: HostSettings = MEASURED, imports: Sequence[str] = (), at_least: int = 1) -> Iterator[RayHosts]:
    """Hosts on Ray, for as many runs as the block makes; they end with it, on a signal too.

    Ray is started here, on loopback and without its dashboard, unless this process is connected
    already or the settings name a cluster; only a Ray that was started here is shut down. Its processes and its
    folder of sockets and logs go with this process, however it ends.

    Args:
        settings: which hosts to start; what each may use is told them anew with every run.
        imports: modules that all hosts import at once, before they load one after another.
        at_least: hosts, if their number is automatic: those that a run had which goes on.

    Raises:
        ConfigError: no cluster answers at `ray_address`, or Ray has too few cores or GPUs.
        RayDied: Ray does not start on this machine.
    """
    prepare_process()
    if settings.ray_address is None:
        # Makes Ray take 127.0.0.1 for its own address; read when Ray is imported.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # Ray would end a process that a busy machine lets come up no sooner, and start another.
        os.environ.setdefault("RAY_worker_register_timeout_seconds", str(START_SECONDS))
    import ray

    with nullcontext() if ray.is_initialized() else _connected(settings, at_least):
        automatic = automatic_hosts(settings.threads_per_host, settings.gpus_per_host)
        count = settings.hosts or max(at_least, automatic)
        started_hosts = RayHosts(count, settings.threads_per_host, settings.gpus_per_host, imports)
        try:
            yield started_hosts
        finally:
            with signals_later():
                started_hosts.close()


@contextmanager
def _connected(settings: HostSettings, at_least: int) -> Iterator[None]:
    """A Ray of our own, or the cluster that the settings name."""
    import ray

    with ExitStack() as ours:
        try:
            if settings.ray_address is None:
                give_token()
                own = ours.enter_context(scratch())
                with connecting(), own.marking():
                    _start((settings.hosts or at_least) * settings.threads_per_host, settings.use_gpu, own.folder)
            else:
                with connecting():
                    _join(settings.ray_address)
            yield
        finally:
            with signals_later():
                ray.shutdown()
                ours.close()


def automatic_hosts(threads_per_host: int, gpus_per_host: float) -> int:
    """As many hosts as the connected Ray has room for, but at least one."""
    import ray

    has: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    count = has.get("CPU", 0.0) / threads_per_host
    if gpus_per_host > 0:
        count = min(count, has.get("GPU", 0.0) / gpus_per_host)
    return max(1, int(count))


def _join(ray_address: str) -> None:
    import ray

    try:
        _probe(ray_address)
        ray.init(address=ray_address, job_config=job_config(), log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"runtime.ray_address={ray_address}: no Ray cluster lets this process in ({error}). Start one with "
            "`ray start --head`, set RAY_AUTH_MODE=token if it asks for a token, or set runtime.ray_address=null."
        ) from error


def _start(num_cpus: int, use_gpus: bool, folder: Path) -> None:
    """Ray gives its own processes half a minute to come up, which a busy machine may not keep at once."""
    import ray

    for attempt in range(1, _START_ATTEMPTS + 1):
        try:
            ray.init(
                job_config=job_config(),
                address="local",  # without it Ray would join whatever cluster last ran on this machine
                num_cpus=max(num_cpus, usable_cpus()),  # Ray itself would count the machine's
                num_gpus=None if use_gpus else 0,  # None: as many as it finds
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=_OBJECT_STORE_BYTES,
                _temp_dir=str(folder),
            )
            return
        except Exception as error:  # Ray raises Exception itself
            ray.shutdown()
            if attempt == _START_ATTEMPTS:
                raise RayDied(
                    f"Ray does not start on this machine ({str(error).splitlines()[0]}). Most often it is busy with "
                    f"other work, or its memory or the disk under {folder.parent} is full."
                ) from error


def _probe(ray_address: str) -> None:
    """Ray itself would try for minutes.

    Raises:
        OSError: nothing listens at the address.
    """
    import ray

    host, _, port = ray_address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():  # "auto" and other names, which Ray resolves
        return
    if host in ("localhost", "127.0.0.1"):
        host = str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]  # as Ray does: a head listens at its node's address alone
    socket.create_connection((host, int(port)), timeout=5).close()
