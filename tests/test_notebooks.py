"""The notebooks: each runs from its first cell to its last, and is kept without outputs."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def ids(path):
    return path.stem


@pytest.mark.local_model
@pytest.mark.parametrize("path", NOTEBOOKS, ids=ids)
def test_a_notebook_runs_from_its_first_cell_to_its_last(path, local_model, tmp_path, monkeypatch):
    monkeypatch.setenv("AIKIT_LOCAL_MODEL", str(local_model))
    monkeypatch.setenv("AIKIT_NOTEBOOK_SAMPLES", "8")
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert any(cell.outputs for cell in code)
    html = "".join(
        str(output.data.get("text/html", "")) for cell in code for output in cell.outputs if "data" in output
    )
    assert "<script" not in html


@pytest.mark.parametrize("path", NOTEBOOKS, ids=ids)
def test_a_notebook_is_kept_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None
