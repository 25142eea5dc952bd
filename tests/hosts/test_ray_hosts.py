"""Hosts on Ray. One Ray and two hosts for all tests here, since starting them takes seconds."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ecc_fed.core.errors import ConfigError, ModelError
from ecc_fed.core.heartbeat import beat
from ecc_fed.federation.results import FederationError, FederationResult, as_json
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.hosts.ray_hosts import RayHosts
from ecc_fed.hosts.ray_private import ended_service
from ecc_fed.hosts.settings import HostSettings
from ecc_fed.hosts.start import _join, ray_hosts
from ecc_fed.hosts.waiting import RayDied, require_ray
from ecc_fed.runs.failures import failure_rows
from ecc_fed.runs.federation import run_federation
from tests.federation.fakes import FakeDevice, aggregated, build_fake, local, personalized

pytestmark = pytest.mark.xdist_group("ray_hosts")
SHOPS = ["a", "bb", "ccc", "dddd", "eeeee"]


@pytest.fixture(scope="module")
def hosts() -> Iterator[RayHosts]:
    with ray_hosts(HostSettings(hosts=2)) as hosts:
        yield hosts


def comparable(result: FederationResult) -> dict:
    content = as_json(result)
    for record in content["rounds"]:
        record["seconds"] = 0.0
    return content


def build_broken(shop_ids: tuple[str, ...]) -> FakeDevice:
    raise ModelError("model.safetensors is missing; download it again")


def build_deadly(shop_ids: tuple[str, ...]) -> FakeDevice:
    os._exit(1)


class CountingDevice(FakeDevice):
    """A device that shares its base with the devices before it in the process."""

    base_loads = 0


def build_counting(shop_ids: tuple[str, ...]) -> FakeDevice:
    CountingDevice.base_loads = 1
    return CountingDevice(shop_ids)


@pytest.mark.parametrize("plan", [local(3), personalized(3, 1)])
def test_two_hosts_give_what_one_process_gives(hosts, plan):
    expected = run_federation(plan, SHOPS, build_fake, InProcessHosts())
    assert comparable(run_federation(plan, SHOPS, build_fake, hosts)) == comparable(expected)


def test_hosts_stay_for_several_runs_and_load_the_base_once_each(hosts):
    run_federation(local(1), SHOPS, build_counting, hosts)
    before = hosts.process_ids()
    for _ in range(2):
        run_federation(aggregated(2), SHOPS, build_counting, hosts)
        assert [host.base_loads for host in hosts.reports()] == [1, 1]
        assert all(host.peak_rss_bytes > 1_000_000 for host in hosts.reports())
    assert hosts.process_ids() == before
    assert len(set(before)) == 2
    assert os.getpid() not in before


def test_with_one_shop_the_second_host_loads_nothing(hosts):
    run_federation(local(1), ["only"], build_fake, hosts)
    assert [host.base_loads for host in hosts.reports()] == [1]


def killed(result: FederationResult, hosts: RayHosts) -> list[tuple[int | None, str]]:
    """The restarts, as a run tells of them."""
    rows = failure_rows(result, hosts.reports(), [])
    return [(row.server_round, row.reason) for row in rows if row.kind == "host_restarted"]


@pytest.mark.parametrize("plan", [personalized(4, 1), aggregated(3)])
def test_a_killed_host_is_replaced_and_its_round_is_done_again_exactly(hosts, tmp_path, plan):
    # Host 0 has a, c and e, host 1 has b, d_kills and f: d_kills ends its process in rounds 1 and 3.
    shop_ids = ["a", "b", "c", "d_kills", "e", "f"]
    device = partial(FakeDevice, deadly_rounds=(1, 3))
    for folder in ("calm", "killed"):
        (tmp_path / folder).mkdir()
    calm = partial(device, folder=str(tmp_path / "calm"), deaths=0)
    expected = run_federation(plan, shop_ids, calm, InProcessHosts())
    result = run_federation(plan, shop_ids, partial(device, folder=str(tmp_path / "killed")), hosts)
    assert comparable(result) == comparable(expected)
    assert result.failures == ()
    again = "host 1: its process ended; a new one did its"
    (first, told), (second, _) = killed(result, hosts)
    assert (first, second) == (1, 3)
    assert told in [f"{again} {left} unfinished shops again" for left in (2, 3)]  # b's reply may have been on its way
    assert [host.base_loads for host in hosts.reports()] == [1, 3]


def test_a_host_that_dies_again_and_again_takes_no_more_part(hosts, tmp_path):
    device = partial(FakeDevice, folder=str(tmp_path), deadly_rounds=(2,), deaths=9)
    settings = HostSettings(hosts=2, host_restarts=2)
    result = run_federation(aggregated(3), ["a", "b_kills"], device, hosts, settings=settings)
    reasons = {(f.server_round, f.phase): f.reason for f in result.failures}
    gone = (
        "HostDied: Host 1: its process ended. It takes no more part, as it has been restarted 2 times "
        "(runtime.host_restarts)"
    )
    assert reasons == {(2, "train"): gone, (3, "train"): gone, (3, "final"): gone}
    assert [sorted(record.shops) for record in result.rounds] == [["a", "b_kills"], ["a"], ["a"]]
    assert [server_round for server_round, _ in killed(result, hosts)] == [2, 2]
    # The next run starts with all hosts again.
    assert run_federation(aggregated(1), ["a", "b"], build_fake, hosts).failures == ()


class SlowDevice(FakeDevice):
    """Shop `a` takes its time. The first time, `…hangs` gives no sign of life and `…stops` cannot."""

    def train(self, shop_id, *arguments, **further):
        asked = Path(self._folder) / shop_id
        if shop_id.endswith(("hangs", "stops")) and not asked.exists():
            asked.write_text(str(os.getpid()))
            if shop_id.endswith("stops"):
                os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(600)
        for _ in range(12 if shop_id == "a" else 0):
            time.sleep(0.25)
            beat()
        return super().train(shop_id, *arguments, **further)


def test_a_host_that_hangs_is_replaced_and_one_that_is_slow_is_not(hosts, tmp_path):
    shop_ids = ["a", "b_hangs", "c_stops"]
    (tmp_path / "calm").mkdir()
    expected = run_federation(
        aggregated(1), shop_ids, partial(FakeDevice, folder=str(tmp_path / "calm")), InProcessHosts()
    )
    device, settings = partial(SlowDevice, folder=str(tmp_path)), HostSettings(hosts=2, stall_seconds=2.5)
    result = run_federation(aggregated(1), shop_ids, device, hosts, settings=settings)
    assert comparable(result) == comparable(expected)
    reason = "it made no progress for 2.5 seconds (runtime.stall_seconds); a new one did its 1 unfinished shops again"
    assert killed(result, hosts) == [(1, f"host {number}: {reason}") for number in (0, 1)]
    for shop_id in shop_ids[1:]:
        status = Path("/proc", (tmp_path / shop_id).read_text(), "status")
        assert not status.exists() or "State:\tZ" in status.read_text(), "the process that hangs is ended"


def build_for_ever(shop_ids: tuple[str, ...]) -> FakeDevice:
    time.sleep(600)
    raise AssertionError("nobody waits so long")


def test_a_host_that_hangs_while_loading_is_an_error(hosts):
    told = r"Host 0 made no progress for 1 seconds \(runtime.stall_seconds\) while loading its models"
    with pytest.raises(FederationError, match=told):
        run_federation(local(1), SHOPS, build_for_ever, hosts, settings=HostSettings(hosts=2, stall_seconds=1.0))


def build_once(shop_ids: tuple[str, ...], folder: str) -> FakeDevice:
    if "b_kills" in shop_ids and (Path(folder) / "deaths_2").exists():
        raise ModelError("the disk with the model is gone")
    return FakeDevice(shop_ids, folder)


def test_a_host_that_cannot_load_again_says_why(hosts, tmp_path):
    result = run_federation(aggregated(3), ["a", "b_kills"], partial(build_once, folder=str(tmp_path)), hosts)
    assert [(f.server_round, f.phase) for f in result.failures] == [(2, "train"), (3, "train"), (3, "final")]
    gone = "HostDied: Host 1 could not be started again: the disk with the model is gone"
    assert {failure.reason for failure in result.failures} == {gone}


def test_a_users_mistake_inside_a_host_comes_out_as_it_is(hosts):
    with pytest.raises(ModelError, match=r"^model.safetensors is missing; download it again$"):
        run_federation(local(1), SHOPS, build_broken, hosts)


def test_a_host_that_dies_while_loading_says_what_to_do(hosts):
    with pytest.raises(FederationError, match=r"Host 0 died while loading .* use fewer hosts \(runtime.hosts\)"):
        run_federation(local(1), SHOPS, build_deadly, hosts)


def test_more_hosts_than_cores_are_refused_by_name(hosts):
    with pytest.raises(ConfigError, match=r"4096 hosts need 4096 CPUs and Ray has \d+: lower runtime.hosts"):
        RayHosts(4096)
    with pytest.raises(ConfigError, match=r"2 hosts need 2 GPUs and Ray has 0: lower runtime.hosts"):
        RayHosts(2, num_gpus=1.0)
    with pytest.raises(ConfigError, match=r"runtime.hosts=0 is out of range"):
        RayHosts(0)


def test_a_ray_that_is_busy_with_other_work_is_an_error_and_no_endless_wait(hosts, monkeypatch):
    import ray

    run_federation(local(0), SHOPS, build_fake, hosts)  # both hosts hold a core
    monkeypatch.setattr("ecc_fed.hosts.actor.START_SECONDS", 1)
    all_cores = int(ray.cluster_resources()["CPU"])
    with pytest.raises(FederationError, match=rf"found no room on Ray in 1 seconds. It needs {all_cores} CPUs"):
        RayHosts(1, num_cpus=all_cores).open(["a"], build_fake)


def test_a_cluster_that_is_not_there_is_an_error_at_once():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    reason = rf"runtime.ray_address=127.0.0.1:{port}: no Ray cluster lets this process in .*runtime.ray_address=null"
    with pytest.raises(ConfigError, match=reason):
        _join(f"127.0.0.1:{port}")


def test_a_block_inside_another_uses_its_ray_and_leaves_it_running(hosts):
    import ray

    with ray_hosts(HostSettings(hosts=1)):
        pass
    assert ray.is_initialized()
    assert run_federation(local(0), SHOPS, build_fake, hosts).failures == ()


def test_ray_keeps_to_loopback_and_to_itself(hosts):
    import ray

    assert {node["NodeManagerAddress"] for node in ray.nodes()} == {"127.0.0.1"}
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert os.environ["FLWR_TELEMETRY_ENABLED"] == "0"
    assert not ray._private.worker.global_worker.node.webui_url
    # What listens for Ray must not be reachable at this machine's outward address.
    port = int(ray.get_runtime_context().gcs_address.rsplit(":", 1)[1])
    socket.create_connection(("127.0.0.1", port), timeout=2).close()
    outward = socket.gethostbyname(socket.gethostname())
    if not outward.startswith("127."):
        with pytest.raises(OSError):
            socket.create_connection((outward, port), timeout=2)


def test_what_ray_keeps_to_itself_is_as_we_take_it(hosts):
    import ray

    assert ended_service() is None
    node = ray._private.worker._global_node
    assert {"gcs_server", "raylet"} <= set(node.all_processes)
    assert Path(node.get_session_dir_path()).parent.name.startswith(f"ecc_fed-ray-{os.getpid()}-")
    ended = subprocess.Popen(["true"])
    ended.wait()
    info = node.all_processes["raylet"][0]
    node.all_processes["raylet"].append(info._replace(process=ended))
    try:
        assert ended_service() == "raylet"
        with pytest.raises(RayDied, match="Ray's process raylet ended while the run was at work"):
            require_ray()
    finally:
        node.all_processes["raylet"].pop()


def test_signals_are_the_main_processs_own(hosts):
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.SIGHUP not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
