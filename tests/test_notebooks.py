"""The notebooks run from an empty state, and their results show themselves."""

from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "examples").glob("*.ipynb"))


def test_notebooks_are_stored_without_outputs() -> None:
    json = pytest.importorskip("nbformat", reason="nbformat is not installed")
    assert len(NOTEBOOKS) == 2
    for path in NOTEBOOKS:
        book = json.read(path, as_version=4)
        json.validate(book)
        assert [cell.outputs for cell in book.cells if cell.cell_type == "code" and cell.outputs] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path: Path, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    book: Any = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(book, timeout=600, resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error"] == []
    pages = [output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    assert any("<iframe" in page for page in pages)
    pictures = [page for page in pages if "<img" in page]
    assert len(pictures) + sum("image/png" in output.get("data", {}) for output in outputs) >= 2
    nbformat.write(book, tmp_path / path.name)
