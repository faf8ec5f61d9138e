"""The notebooks run from top to bottom, and say what they said when they were committed, but for the numbers."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
SMALL = 50_000
"""Bytes of a notebook, at most."""
PICTURE = "a picture"


def outputs(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """What each cell shows: its kind, and of text the words; numbers differ between machines.

    What a cell prints comes in one piece or in several, as it happens.
    """
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    found = [[shown(output) for output in cell.outputs if output.get("name") != "stderr"] for cell in cells]
    return [[" ".join(cell)] if cell and PICTURE not in cell else cell for cell in found]


def shown(output: Any) -> str:
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "image/png" in data:
        return PICTURE
    return " ".join(re.sub(r"-?\d[\d.,]*", "#", "".join(data["text/plain"])).split())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_small_and_with_what_it_shows(path: Path) -> None:
    assert path.stat().st_size < SMALL
    cells = nbformat.read(path, as_version=4).cells
    assert not [cell for cell in cells if cell.get("execution_count")]
    shows = outputs(nbformat.read(path, as_version=4))
    assert all(len(cell) <= 1 for cell in shows)
    assert sum(cell == [PICTURE] for cell in shows) == 1


@pytest.mark.filterwarnings("ignore")  # those of the notebook client, in this process; the notebook has its own
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_still_shows_what_it_did(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    committed = outputs(notebook)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    assert outputs(notebook) == committed
