"""The notebook of the documentation, cell by cell, in an empty folder."""

import ast
import hashlib
import json
import re
from pathlib import Path

import pytest

from hage_transfer.door.shown_figure import ShownFigure

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebooks" / "tour.ipynb"
PAGE = json.loads(NOTEBOOK.read_text())
CODE = [cell for cell in PAGE["cells"] if cell["cell_type"] == "code"]
CELLS = ["".join(cell["source"]) for cell in CODE]


def run_cell(text: str, names: dict[str, object]) -> object:
    """Runs a cell as a notebook does: what its last expression gives is shown."""
    tree = ast.parse(text)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(NOTEBOOK), "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)


def test_the_notebook_uses_the_library_through_one_import():
    lines = [line for cell in CELLS for line in cell.splitlines() if "hage_transfer" in line]
    assert lines == ["import hage_transfer as ht"]


def test_what_the_notebook_shows_is_of_its_cells_and_of_no_machine():
    made_of = hashlib.sha256("\n\n".join(CELLS).encode()).hexdigest()
    assert PAGE["metadata"]["shown_of_sha256"] == made_of, "run `python docs/hooks/notebook.py`"
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    shown = [[one["output_type"] for one in cell["outputs"]] for cell in CODE]
    assert shown == [["execute_result"]] * len(CODE)
    assert any("image/png" in cell["outputs"][0]["data"] for cell in CODE)
    assert NOTEBOOK.stat().st_size < 500_000
    assert not re.search(r"<a href=.{0,2}(?!https?:)\w", NOTEBOOK.read_text())
    assert not [word for word in ("/tmp/", "/home/", "/root/", "site-packages") if word in NOTEBOOK.read_text()]


def test_a_figure_shows_itself_without_pyplot():
    assert ShownFigure(figsize=(1, 1))._repr_png_().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_notebook_runs_shows_everything_and_prints_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    shown = [run_cell(cell, names) for cell in CELLS]
    assert capsys.readouterr().out == ""
    assert all(one is not None for one in shown)
    pages = [one._repr_html_() for one in shown if hasattr(one, "_repr_html_")]
    assert len(pages) >= len(CELLS) - 2
    assert any(isinstance(one, ShownFigure) for one in shown)
    assert {"hage", "ridge", "gene_mean", "spot_depth"} <= set(names["run"].table().index)
    assert names["difference"].verdict in ("gain", "loss", "within noise")
    assert set(names["mine"].table().index) == {"frozen"}
    assert {"attention"} <= set(names["why"][names["mil"].slides[0]].tiles.columns)
    assert (tmp_path / "report" / "report.html").is_file()
