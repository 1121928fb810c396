"""The notebook in examples/ runs, and prints what it shows."""

import asyncio
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "examples" / "notebook.ipynb"


def printed(notebook: Any) -> list[list[str]]:
    """Return what every cell shows as text; what scikit-learn learnt depends on its version."""
    told = []
    for cell in notebook.cells:
        parts = [  # what is printed comes in as many pieces as it happens to
            output.get("text") or output["data"]["text/plain"] + "\n"
            for output in cell.get("outputs", ())
        ]
        lines = "".join(parts).splitlines()
        told.append([line for line in lines if line and not line.startswith("float ")])
    return told


def test_notebook_prints_what_it_shows(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(root / "host"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    stored = nbformat.read(NOTEBOOK, as_version=4)
    run = nbformat.from_dict(stored)
    client = NotebookClient(
        run, timeout=300, startup_timeout=300, iopub_timeout=300, kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )  # fmt: skip
    asyncio.run(client.async_execute())
    assert printed(run) == printed(nbformat.read(NOTEBOOK, as_version=4))
    assert any("digest" in line for lines in printed(run) for line in lines)


def test_notebook_shows_its_results() -> None:
    stored = nbformat.read(NOTEBOOK, as_version=4)
    kinds = {kind for cell in stored.cells for output in cell.get("outputs", ())
             for kind in output.get("data", {})}  # fmt: skip
    assert "image/png" in kinds
    assert all(cell["execution_count"] for cell in stored.cells if cell.cell_type == "code")
