"""Runs docs/notebooks/tour.ipynb and keeps what its cells show: `python docs/hooks/notebook.py`; needs ipykernel.

Streams (progress, warnings of libraries) and times are left out, so that two runs on one machine leave one file.
"""

import hashlib
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "tour.ipynb"
MOST_BYTES = 500_000


def main() -> None:
    """Runs every cell, keeps results, and refuses a page with a path of this machine or of too many bytes."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [one for one in cell.outputs if one.output_type == "execute_result"]
            for data in (one.data for one in cell.outputs if "text/html" in one.data):  # no link to what is not kept
                data["text/html"] = re.sub(r'<a href="(?!https?:)[^"]*">(.*?)</a>', r"\1", data["text/html"])
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    notebook.metadata["shown_of_sha256"] = hashlib.sha256("\n\n".join(code).encode()).hexdigest()
    notebook.metadata["language_info"] = {"name": "python"}
    text = nbformat.writes(notebook, indent=1) + "\n"
    if len(text) > MOST_BYTES or folder in text or str(Path.home()) + "/" in text:
        sys.exit(f"{NOTEBOOK}: {len(text)} bytes, wanted at most {MOST_BYTES} and no path of this machine")
    NOTEBOOK.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
