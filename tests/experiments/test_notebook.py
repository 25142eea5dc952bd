"""The notebook, cell after cell, on Ray's hosts as its readers run it."""

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "experiments" / "notebook.ipynb"


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas", reason="the extra pandas is not installed")
    import matplotlib

    matplotlib.use("Agg")
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell.get("outputs") for cell in cells)
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    for text in code:
        exec(compile(text, str(NOTEBOOK), "exec"), space)
    assert list(space["table"].index) == ["shop_0000", "shop_0001"] and space["table"].notna().all(axis=None)
    assert len(space["axes"].patches) == 4
    assert space["result"].directory.is_relative_to(tmp_path / "runs")
