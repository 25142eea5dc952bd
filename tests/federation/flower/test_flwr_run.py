"""The same apps under Flower's stock engines, around a fake device (`toy_app`), on loopback."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ecc_fed.evolution.sent import read_sent
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import as_json, traffic_bytes
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.runs.federation import run_federation
from tests.federation.fakes import aggregated, build_fake, personalized

ROOT = Path(__file__).parents[3]
TOY_APP = Path(__file__).parent / "toy_app"
PROGRAMS = Path(sys.executable).parent
WAIT_SECONDS = 240  # every message starts a process of its own on a SuperNode


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def environment(home: Path) -> dict[str, str]:
    """Nothing leaves the machine: no telemetry, no look for a newer Flower, no installing of dependencies."""
    return os.environ | {
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "OMP_NUM_THREADS": "1",
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),  # the fake device lies in the tests
    }


@contextmanager
def process(arguments: list[str], home: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (home / f"{Path(arguments[0]).name}.log").open("ab") as log:
        child = subprocess.Popen(
            [str(PROGRAMS / arguments[0]), *arguments[1:]], env=environment(home), stdout=log, stderr=log
        )
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(timeout=20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def wait_for(what: str, home: Path, ready, seconds: float = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            logs = "\n".join(path.read_text(errors="replace")[-3000:] for path in sorted(home.glob("*.log")))
            pytest.fail(f"{what} did not come within {seconds:g} seconds\n{logs}")
        time.sleep(0.2)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def submit(home: Path, port: int, plan: FederationPlan, *options: str, overrides: str = "") -> dict:
    """`flwr run` on the toy app; returns what its ServerApp wrote."""
    content = read_when_there(home, start(home, port, plan, *options, overrides=overrides))
    # What a shop counts before an answer leaves is what the server counts when it has come, through Flower's own link.
    wrote = traffic_bytes(tuple(entry for shop_id in ("a", "bb") for entry in read_sent(home / shop_id)))
    assert wrote == {name: size for name, size in content["traffic_bytes"].items() if name.endswith("_up")}
    return comparable(content)


def read_when_there(home: Path, result_path: Path, seconds: float = WAIT_SECONDS) -> dict:
    wait_for("the result", home, result_path.exists, seconds)
    return json.loads(result_path.read_text(encoding="utf-8"))


def start(home: Path, port: int, plan: FederationPlan, *options: str, overrides: str = "") -> Path:
    """Returns where the result will be."""
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{port}"\ninsecure = true\n'
    )
    result_path = home / "result.json"
    result_path.unlink(missing_ok=True)
    settings = {
        "arm": plan.arm.name,
        "overrides": overrides,
        "state-dir": str(home),
        "result-path": str(result_path),
    }
    run_config = " ".join(f'{key}="{value}"' for key, value in settings.items())
    run_config += f" server-rounds={plan.arm.server_rounds} personal-rounds={plan.personal_rounds}"
    done = subprocess.run(
        [str(PROGRAMS / "flwr"), "run", str(TOY_APP), "--run-config", run_config, *options],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return result_path


def comparable(content: dict) -> dict:
    for record in content["rounds"]:
        record["seconds"] = 0.0
    for way in ("up", "down"):  # with ids that each engine makes in its own way
        assert content["traffic_bytes"].pop(f"envelope_{way}") > 0
    return json.loads(json.dumps(content))


def expected(plan: FederationPlan) -> dict:
    content = comparable(as_json(run_federation(plan, ["a", "bb"], build_fake, InProcessHosts())))
    # Here every node also says which shop it stands for.
    content["traffic_bytes"]["config_up"] += sum(len("shop-id") + len(shop) for shop in ("a", "bb"))
    return content


def superlink(*options: str) -> tuple[list[str], int]:
    """The command of a SuperLink on free loopback ports, and the port it serves."""
    control, port = free_ports(2)
    addresses = ["--host", "127.0.0.1", "--port", str(port), "--control-api-address", f"127.0.0.1:{control}"]
    return ["flower-superlink", "--insecure", *addresses, *options], port


@pytest.mark.slow
def test_flwr_run_simulates_what_our_own_engine_simulates(tmp_path):
    command, port = superlink("--simulation")
    with process(command, tmp_path):
        wait_for("the SuperLink", tmp_path, lambda: listens(port))
        plan = personalized(3, 1)
        assert submit(tmp_path, port, plan, "--federation-config", "num-supernodes=2") == expected(plan)


# A SuperNode that says every ten seconds that it lives, the least that a SuperLink takes, instead of every thirty: it
# is given up three times as soon.
SUPERNODE = """
import sys
from flwr.common import constant
constant.HEARTBEAT_DEFAULT_INTERVAL = constant.HEARTBEAT_MIN_INTERVAL
from flwr.supernode.cli.flower_supernode import flower_supernode
sys.exit(flower_supernode())
"""


def supernode(shop_id: str, port: int) -> list[str]:
    node = [sys.executable, "-c", SUPERNODE, "--insecure", "--superlink", f"127.0.0.1:{port}"]
    return [*node, "--port", str(free_ports(1)[0]), "--node-config", f'shop-id="{shop_id}"']


@contextmanager
def two_nodes(home: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A SuperLink with a SuperNode for each shop: its port, and the process of the second."""
    command, port = superlink()
    with ExitStack() as stack:
        stack.enter_context(process(command, home))
        wait_for("the SuperLink", home, lambda: listens(port))
        nodes = [stack.enter_context(process(supernode(shop_id, port), home)) for shop_id in ("a", "bb")]
        yield port, nodes[1]


@pytest.mark.slow
def test_supernodes_that_know_their_own_shop_alone_give_the_same(tmp_path):
    with two_nodes(tmp_path) as (port, _):
        plan = aggregated(1)
        assert submit(tmp_path, port, plan) == expected(plan)


@pytest.mark.slow
def test_supernodes_hide_their_updates_from_the_server(tmp_path):
    with two_nodes(tmp_path) as (port, _):
        overrides = "secure_aggregation=secagg_plus secure_aggregation.min_shops=2"
        found = submit(tmp_path, port, aggregated(1), overrides=overrides)
    assert (found["failures"], found["skipped_rounds"]) == ([], [])
    assert found["aggregate_sha256"] is not None
    assert {shop["num_examples"] for shop in found["rounds"][0]["shops"].values()} == {None}
    assert found["traffic_bytes"]["secure_aggregation_up"] > 0


@pytest.mark.slow
def test_a_run_goes_on_without_a_supernode_that_died_and_the_next_has_it_again(tmp_path):
    with two_nodes(tmp_path) as (port, second):
        result_path = start(tmp_path, port, aggregated(2))
        wait_for("the first round", tmp_path, (tmp_path / "bb.1.npz").exists)
        second.kill()
        # Flower gives a node up that was not heard of for twice the time between its signs of life.
        found = read_when_there(tmp_path, result_path, 2 * WAIT_SECONDS)
        assert [each["server_round"] for each in found["rounds"]] == [1, 2]
        assert {failure["shop_id"] for failure in found["failures"]} == {"bb"}
        assert found["failures"][-1]["phase"] == "final" and set(found["final"]) == {"a"}
        assert set(found["rounds"][1]["shops"]) == {"a"}
        for path in (*tmp_path.glob("*.npz"), *tmp_path.glob("*/sent.jsonl")):
            path.unlink()
        with process(supernode("bb", port), tmp_path):
            again = submit(tmp_path, port, aggregated(1))
    assert again == expected(aggregated(1))
