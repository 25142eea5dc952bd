"""What is imported before it is needed is time that somebody waits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reporting.conftest import write_run

HEAVY = {"torch", "transformers", "peft", "ray", "scipy", "sympy", "pandas", "datasets", "accelerate", "bitsandbytes"}
RUN = [
    "run",
    "corpus.num_shops=1",
    "corpus.pairs_per_shop=8",
    "corpus.test_pairs_per_shop=1",
    "evolution.server_rounds=1",
    "finetune.steps=1",
    "decoding.max_new_tokens=2",
    "runtime.hosts=1",
]


def after(folder: Path, *commands: list[str]) -> list[tuple[int, set[str]]]:
    """In one new process: each command's exit code, and all modules that are imported after it."""
    code = (
        "import json, sys\n"
        "from ecc_fed.cli.main import main\n"
        "for command in json.loads(sys.argv[1]):\n"
        "    code = main(command)\n"
        "    print(json.dumps(['told', code, sorted(sys.modules)]), flush=True)\n"
    )
    given = [sys.executable, "-c", code, json.dumps(commands)]
    done = subprocess.run(given, cwd=folder, capture_output=True, text=True)
    lines = [json.loads(line)[1:] for line in done.stdout.splitlines() if line.startswith('["told"')]
    assert len(lines) == len(commands), done.stderr
    return [(code, set(modules)) for code, modules in lines]


def test_what_needs_no_model_imports_none(tmp_path: Path) -> None:
    write_run(tmp_path / "mine")
    told = after(
        tmp_path,
        ["--help"],
        ["report", "mine"],
        ["run", "seeed=1"],
        ["run", "corpus=jddc", "corpus.path=nowhere"],
        ["corpus", "corpus.num_shops=2"],
    )
    assert [code for code, _ in told] == [0, 0, 2, 2, 0]
    assert [sorted(HEAVY & modules) for _, modules in told] == [[]] * 5
    assert {"flwr", "hydra", "numpy", "matplotlib"} & told[0][1] == set()
    assert {"flwr", "hydra"} & told[1][1] == set()


def test_a_run_on_one_host_imports_no_ray_and_of_libraries_what_it_uses(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("where there is a GPU, hosts are on Ray")
    ((code, modules),) = after(tmp_path, [*RUN, "hydra.run.dir=here"])
    assert (code, (tmp_path / "here" / "summary.json").is_file()) == (0, True)
    assert HEAVY & modules == {"torch", "transformers"}
    assert {"transformers.modeling_utils", "transformers.models", "torch._dynamo"} & modules == set()
