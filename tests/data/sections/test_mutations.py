"""Whatever metadata a file holds, a section is read or refused by one of our errors: no other exception, ever."""

import json
import shutil
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import read_sections
from hage_transfer.errors import HageError

WORDS = [
    "",
    "nan",
    "NA",
    "-1",
    "0",
    "1e999",
    "inf",
    "x",
    "1;2",
    '"',
    "\t",
    ",",
    "\u00b5",
    "\x00",
    "1" * 400,
    "2.5",
    "0x1f",
    "True",
    "[]",
]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 10**30), st.floats(), st.sampled_from(WORDS), st.just([]), st.just({}),
    st.lists(st.integers(0, 3), max_size=3),
)  # fmt: skip


def of_json(path: Path, draw) -> None:
    """Another value, a key more or less, or text that is no JSON."""
    facts = json.loads(path.read_text())
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.sampled_from([*facts, "microns_per_pixel", "bin_size_um", "patient"]))
        if draw(st.booleans()):
            facts[key] = draw(VALUES)
        else:
            facts.pop(key, None)
    text = json.dumps(facts)
    cut = draw(st.one_of(st.just(len(text)), st.integers(0, len(text))))
    path.write_text(draw(st.sampled_from([text[:cut], f"[{text}]", text])), encoding="utf-8")


def of_text(path: Path, draw, separator: str) -> None:
    """Cells, columns and lines changed, lost or doubled, and bytes that are no text."""
    lines = path.read_bytes().split(b"\n")
    for _ in range(draw(st.integers(1, 3))):
        row = draw(st.sampled_from([0, 0, draw(st.integers(0, len(lines) - 1))]))
        cells = lines[row].split(separator.encode())
        column = draw(st.integers(0, len(cells) - 1))
        change = draw(st.sampled_from(["cell", "lost", "double", "line", "lines", "bytes", "empty"]))
        if change == "cell":
            cells[column] = draw(st.sampled_from(WORDS)).encode()
        elif change == "lost":
            cells.pop(column)
        elif change == "double":
            cells.insert(column, cells[column])
        elif change == "bytes":
            cells[column] = draw(st.binary(max_size=4))
        lines[row] = separator.encode().join(cells)
        if change == "line" and len(lines) > 1:
            lines.pop(row)
        elif change == "lines":
            lines.insert(row, lines[draw(st.integers(0, len(lines) - 1))])
        elif change == "empty":
            lines = lines[:row] or [b""]
    path.write_bytes(b"\n".join(lines))


def of_bytes(path: Path, draw, separator: str) -> None:
    del separator
    raw = bytearray(path.read_bytes())
    for _ in range(draw(st.integers(1, 4))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    path.write_bytes(bytes(raw[: draw(st.one_of(st.just(len(raw)), st.integers(0, len(raw))))]))


def of_h5(path: Path, draw) -> None:
    """Elements of the metadata removed, or replaced by another kind of thing."""
    with h5py.File(path, "a") as file:
        names: list[str] = []
        file.visit(names.append)
        for _ in range(draw(st.integers(1, 3))):
            name = draw(st.sampled_from(names))
            if name not in file:
                continue
            change = draw(st.sampled_from(["gone", "number", "text", "group", "array", "attrs", "attr", "short"]))
            if change in ("attrs", "attr"):
                for key in list(file[name].attrs)[: None if change == "attrs" else 1]:
                    value = draw(
                        st.sampled_from([None, "future", 3, np.arange(2), "_index", "csr_matrix", "categorical"])
                    )
                    del file[name].attrs[key]
                    if value is not None:
                        file[name].attrs[key] = value
                continue
            old = file[name][()] if isinstance(file[name], h5py.Dataset) else None
            del file[name]
            if change == "number":
                file[name] = draw(st.sampled_from([0, -1, np.nan, 1e300, 2**40]))
            elif change == "text":
                file[name] = draw(st.sampled_from(["", "nan", "x"]))
            elif change == "group":
                file.create_group(name)
            elif change == "array":
                file[name] = draw(
                    st.sampled_from([np.zeros(0), np.zeros((20, 2)), np.full(20, -7), np.full((20, 3), np.nan)])
                )
            elif change == "short" and old is not None and np.ndim(old):
                file[name] = old[: len(old) // 2]


MUTATIONS = {
    "visium": {
        "S1/spatial/scalefactors_json.json": of_json,
        "S1/spatial/tissue_positions.csv": ",",
        "S1/filtered_feature_bc_matrix.h5": of_h5,
    },
    "visium hd": {
        "S1/outs/binned_outputs/square_008um/spatial/scalefactors_json.json": of_json,
        "S1/outs/binned_outputs/square_008um/spatial/tissue_positions.parquet": "bytes",
    },
    "geo, flat": {
        "GSM42_S1_tissue_positions_list.csv": ",",
        "GSM42_S1_genes.tsv": "\t",
        "GSM42_S1_barcodes.tsv": "\t",
        "GSM42_S1_matrix.mtx": " ",
        "GSM42_S1_scalefactors_json.json": of_json,
    },
    "matrix market": {
        "S1/filtered_feature_bc_matrix/matrix.mtx.gz": "bytes",
        "S1/filtered_feature_bc_matrix/features.tsv.gz": "bytes",
    },
    "h5ad": {"S1.h5ad": of_h5},
    "hest": {"metadata/S1.json": of_json, "st/S1.h5ad": of_h5},
    "xenium": {"S1/S1_he_imagealignment.csv": ",", "S1/cells.parquet": "bytes", "S1/cell_feature_matrix.h5": of_h5},
    "her2st": {"ST-cnts/A1.tsv": "\t", "ST-spotfiles/A1_selection.tsv": "\t"},
    "gse144240": {"P2_ST_rep1_stdata.tsv": "\t", "spot_data-selection-P2_ST_rep1.tsv": "\t"},
}  # fmt: skip


@pytest.mark.parametrize("n", [20, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", MUTATIONS)
def test_mutations_of_metadata_are_read_or_refused(name, n, formats, tmp_path):
    layout, write = formats[name]
    made = write(tmp_path / "made")

    @settings(
        max_examples=n,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        derandomize=True,
        phases=[Phase.generate],
    )
    @given(st.data())
    def run(data) -> None:
        root = tmp_path / "root"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(made, root)
        file = data.draw(st.sampled_from(sorted(MUTATIONS[name])))
        how = MUTATIONS[name][file]
        if callable(how):
            how(root / file, data.draw)
        else:
            (of_bytes if how == "bytes" else of_text)(root / file, data.draw, how)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                read_sections(SectionsSettings(layout=layout, root=root))
        except HageError as error:
            assert str(root) in str(error), error  # the message names the file

    run()
