"""The notebook of the documentation, cell by cell, in an empty folder."""

import ast
import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebooks" / "tour.ipynb"
CELLS = ["".join(cell["source"]) for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]


def run_cell(text: str, names: dict[str, object]) -> object:
    """Runs a cell as a notebook does: what its last expression gives is shown."""
    tree = ast.parse(text)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(NOTEBOOK), "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)


def test_the_notebook_uses_the_library_through_one_import():
    lines = [line for cell in CELLS for line in cell.splitlines() if "hage_transfer" in line]
    assert lines == ["import hage_transfer as ht"]


@pytest.mark.slow
def test_the_notebook_runs_shows_everything_and_prints_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    shown = [run_cell(cell, names) for cell in CELLS]
    assert capsys.readouterr().out == ""
    assert all(one is not None for one in shown)
    pages = [one._repr_html_() for one in shown if hasattr(one, "_repr_html_")]
    assert len(pages) >= len(CELLS) - 2
    assert {"hage", "ridge", "gene_mean", "spot_depth"} <= set(names["run"].table().index)
    assert names["difference"].verdict in ("gain", "loss", "within noise")
    assert set(names["mine"].table().index) == {"frozen"}
    assert {"attention"} <= set(names["why"][names["mil"].slides[0]].tiles.columns)
    assert (tmp_path / "report" / "report.html").is_file()
