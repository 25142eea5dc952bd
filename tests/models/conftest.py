import shutil
from pathlib import Path

import pytest

from tests.end_model.tiny_models import save_base


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(save_base(tmp_path_factory.mktemp("whole") / "model", "llama"))


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy, to be broken."""
    return Path(shutil.copytree(whole, tmp_path / "model"))
