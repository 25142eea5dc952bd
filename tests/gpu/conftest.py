"""What must hold on a card: `make test-gpu`.

Everything here is marked `gpu` and skipped where torch sees none. `GPU_TESTS_ON_CPU=1` runs what needs no card of its
own on the CPU instead, by the plain forms of a GPU's way: that shows that the tests themselves run.
"""

import os
from pathlib import Path

import pytest
import torch

from ecc_fed.end_model.engines.shared.compute_plan import GPU_PLAIN, ComputePlan

from ..end_model.tiny_models import save_base

ON_CPU = os.environ.get("GPU_TESTS_ON_CPU") == "1"
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Hooks of a folder's conftest see all items."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            missing = not torch.cuda.is_available() and (not ON_CPU or item.get_closest_marker("card_only") is not None)
            item.add_marker(pytest.mark.skipif(missing, reason="needs a CUDA GPU"))


@pytest.fixture(scope="session")
def card() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(scope="session")
def plan(card: torch.device) -> ComputePlan | None:
    """The device's own on a card."""
    return GPU_PLAIN if card.type == "cpu" else None


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_base(tmp_path_factory.mktemp("base"), "qwen2")
