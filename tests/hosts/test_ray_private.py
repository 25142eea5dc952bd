"""What is assumed of the installed Ray."""

from __future__ import annotations

import subprocess
import sys

# A process of its own: Ray takes signals once in a process. SIGTERM comes when Ray has just connected.
_PROGRAM = """
import os, signal, time
from ecc_fed.hosts.ray_private import connecting
import ray

came = []
signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
connect = ray._private.worker.connect

def interrupted(*arguments, **options):
    connect(*arguments, **options)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(4)  # its abort would come after three

ray._private.worker.connect = interrupted
with connecting():
    ray.init(num_cpus=1, include_dashboard=False, logging_level="ERROR")
assert came == [signal.SIGTERM], came
ray.shutdown()
signal.raise_signal(signal.SIGTERM)
print(len(came))
"""


def test_a_signal_that_comes_while_ray_connects_is_ours() -> None:
    found = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0 and found.stdout.strip() == "2", found.stderr[-2000:]
    assert "SIGTERM received" not in found.stderr
