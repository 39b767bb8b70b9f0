"""Messages that name what would help, of each kind that was found wrong."""

import h5py
import numpy as np
import pytest
from PIL import Image

from hage_transfer.cli.main import run
from hage_transfer.config import SectionsSettings
from hage_transfer.data.feature_file import read_meta
from hage_transfer.data.labels import read_labels
from hage_transfer.data.sections import LAYOUTS, where_images_are
from hage_transfer.errors import DataError, SplitError


@pytest.mark.parametrize(("method", "advice"), [("clam", "--set data.tissue.method=auto"), ("auto", "data.min_tissue")])
def test_tissue_that_fills_the_frame_is_met_by_the_method_that_sees_it(tmp_path, capsys, method, advice):
    pink = np.full((600, 600, 3), (214, 150, 190) if method == "clam" else 245, dtype=np.uint8)
    Image.fromarray(pink).save(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("slide\na.png\n")
    code = run(["encode", "slides", "tcga_brca", *_sets(tmp_path, method)])
    said = capsys.readouterr().err
    assert code in (1, 2) and advice in said
    assert ("min_tissue" in said) == (method == "auto")


def _sets(folder, method):
    changes = {
        "data.root": folder,
        "data.labels": folder / "labels.csv",
        "data.slide_mpp_um_per_px": 0.5,
        "data.tile_level0_px": 200,
        "data.tissue.method": method,
        "encoder.name": "embedded",
        "features": folder / "features",
    }
    return [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_where_images_are_looked_for_is_said_of_every_layout(layout, tmp_path):
    said = where_images_are(SectionsSettings(layout=layout, root=tmp_path))
    assert f"of {tmp_path} (data.layout={layout})" in said and ("image" in said or "<section>." in said)


@pytest.mark.parametrize("rows", [(3, 4), (1, 3, 4)], ids=["CLAM", "TRIDENT"])
@pytest.mark.parametrize("name", ["features", "feats"])
def test_a_feature_file_of_another_tool_is_met_with_convert(tmp_path, rows, name):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file[name] = np.zeros(rows, dtype=np.float32)
    with pytest.raises(DataError, match=r"schema_version missing; it holds feat.*`convert` makes one"):
        read_meta(tmp_path / "a.h5")


@pytest.mark.parametrize("column", ["patient", "Patient ID", "case_submitter_id", "patient_id", "bcr_patient_barcode"])
def test_a_column_of_patients_is_offered_as_the_group(tmp_path, column):
    path = tmp_path / "labels.csv"
    path.write_text(f"slide,label,{column}\na,0,p\nb,1,q\n")
    with pytest.raises(SplitError, match=rf"its column {column}\? call it group"):
        read_labels(path).known_groups()


@pytest.mark.parametrize(("patients", "is_said"), [("pp", True), ("pq", False)])
def test_a_column_that_names_a_patient_twice_and_is_not_read_is_said(tmp_path, caplog, patients, is_said):
    path = tmp_path / "labels.csv"
    path.write_text(f"slide,label,patient\na,0,{patients[0]}\nb,1,{patients[1]}\n")
    read_labels(path)
    assert (f"{path}: its column patient names 1 patients of 2 rows and is not read" in caplog.text) == is_said


@pytest.mark.parametrize("column", ["batch", "patience", "group"])
def test_other_columns_are_not_offered(tmp_path, column):
    path = tmp_path / "labels.csv"
    path.write_text(f"slide,label,{column}\na,0,p\nb,1,q\n")
    assert read_labels(path).patient_column == ""


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["patches", "check", "mil/tcga_brca"], "a config of `hage mil`, and one of `hage probe` is wanted"),
        (["patches", "check", "mil/ucsb"], "`hage tissue` and `hage labels check` look at slides"),
        (["mil", "pretrain/her2st"], "a config of `hage pretrain`, and one of `hage mil` is wanted"),
        (["pretrain", "probes/pcam"], "a config of `hage probe`, and one of `hage pretrain` is wanted"),
        (["probe", "compare/ucsb"], "a config of `hage compare`, and one of `hage probe` is wanted"),
    ],
)
def test_a_config_of_another_task_is_said_to_be_one(capsys, command, said):
    assert run(command) == 2
    assert said in capsys.readouterr().err
