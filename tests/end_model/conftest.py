import pytest
import torch

from .tiny_models import FAMILIES, save_base


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Model folders by family."""
    root = tmp_path_factory.mktemp("bases")
    return {family: save_base(root / family, family) for family in FAMILIES}


@pytest.fixture(scope="session")
def llama(bases: dict[str, str]) -> str:
    return bases["llama"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
