import json
import random
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "experiments" / "benchmarks" / "corpus_throughput.py"
GENERATORS = runpy.run_path(str(SCRIPT))["GENERATORS"]


@pytest.mark.parametrize("kind", GENERATORS)
def test_generated_lines_are_as_many_as_asked_for_and_repeatable(kind):
    lines = list(GENERATORS[kind](500, random.Random(0)))
    assert 500 <= len(lines) < 520
    assert list(GENERATORS[kind](500, random.Random(0))) == lines


def test_the_benchmark_measures_what_it_generated():
    command = [sys.executable, str(SCRIPT), "--lines", "2000", "--format", "jddc", "--shops", "3", "--max-pairs", "50"]
    figures = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert figures["lines"] >= 2000
    assert figures["shops"] == 3
    assert figures["lines_per_cpu_second"] > 0
    assert figures["peak_rss_bytes"] > 0
