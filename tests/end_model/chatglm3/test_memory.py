"""The weights stream: peak memory is a few shards, whatever the size of the model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from . import original

STATUS = Path("/proc/self/status")
# Converts a tiny checkpoint first, so that imports and lazy buffers are not counted.
MEASURE = """
import json, pathlib, sys
from ecc_fed.end_model.chatglm3 import convert_chatglm3
def kibibytes(field):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))
tiny, shard_bytes, *sources = sys.argv[1:]
convert_chatglm3(tiny, tiny + "-native")
grown = []
for source in sources:
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = kibibytes("VmRSS")
    report = convert_chatglm3(source, source + "-native", shard_bytes=int(shard_bytes))
    grown.append([report.weight_bytes, 1024 * (kibibytes("VmHWM") - before)])
print(json.dumps(grown))
"""


@pytest.mark.skipif(not STATUS.exists(), reason="peak memory is read from /proc, which is Linux's")
def test_peak_memory_is_far_below_the_size_of_the_model(tmp_path: Path, pieces: bytes) -> None:
    tiny = original.write_checkpoint(
        tmp_path / "tiny", original.random_weights(original.CONFIG), original.CONFIG, pieces
    )
    config = original.CONFIG | {"num_layers": 24, "hidden_size": 384, "ffn_hidden_size": 1024}
    weights = {
        name: torch.full(tensor.shape, 0.5, dtype=torch.float16)
        for name, tensor in original.random_weights(config).items()
    }
    sources = [
        original.write_checkpoint(tmp_path / kind, weights, config, pieces, kind, shards=8)
        for kind in ("safetensors", "bin")
    ]
    command = [sys.executable, "-c", MEASURE, str(tiny), str(4 * 2**20), *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    for weight_bytes, grown_bytes in json.loads(done.stdout.splitlines()[-1]):
        assert weight_bytes > 50 * 2**20
        assert grown_bytes < weight_bytes / 3
