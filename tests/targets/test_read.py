"""Values of targets from tables: what is read, and what is refused by name with its remedy."""

import pandas as pd
import pytest

from hage_transfer.errors import ConfigError, DataError
from hage_transfer.slides.table import read_slide_table
from hage_transfer.targets.read import read_target
from hage_transfer.targets.settings import (
    ClassSettings,
    MultiLabelSettings,
    OrdinalSettings,
    RegressionSettings,
    SurvivalSettings,
)

SURVIVAL = SurvivalSettings()


def table(tmp_path, name="labels.csv", **columns):
    n = len(next(iter(columns.values())))
    rows = {"slide": [f"s{k}" for k in range(n)], "group": [f"p{k}" for k in range(n)]} | columns
    pd.DataFrame(rows).to_csv(tmp_path / name, index=False)
    return tmp_path / name


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        ({"time": [1, -3], "event": [1, 0]}, SURVIVAL, r"line 3: time -3 is negative.*correct it"),
        ({"time": [1, "x"], "event": [1, 0]}, SURVIVAL, r"line 3: time 'x' is no number"),
        ({"time": [1, "inf"], "event": [1, 0]}, SURVIVAL, r"line 3: time 'inf' is no number"),
        (
            {"time": [1, None], "event": [1, 0]},
            SURVIVAL,
            r"line 3: time '' is no number; fill it, or set target.missing",
        ),
        ({"time": [1, 2], "event": [1, 2]}, SURVIVAL, r"line 3: event '2' is none of 0, 1, True, False"),
        ({"time": [1, 2], "event": ["yes", "no"]}, SURVIVAL, r"line 2: event 'yes' is none of 0, 1"),
        ({"time": [1, 2], "event": [0, 0]}, SURVIVAL, r"all 2 rows are censored.*target.censored"),
        ({"time": [1, 2], "dead": [0, 1]}, SURVIVAL, r"no column event \(nearest: \w+\)"),
        ({"time": [1, 2], "event": [1, 0], "group": ["p", "p"]}, SURVIVAL, r"group \(patient\) p has time and event"),
        ({"label": [1.5, "nan"]}, RegressionSettings(), r"line 3: label 'nan' is no number"),
        ({"label": [2.5, 2.5]}, RegressionSettings(), r"every label is 2.5"),
        ({"label": ["I", "V"]}, OrdinalSettings(order=("I", "II")), r"label 'V' is no grade of target.order \(I, II\)"),
        ({"a": [1, 0], "b": [1, None]}, MultiLabelSettings(columns=("a", "b")), r"line 3: b '' is none of 0, 1"),
        ({"label": [k + 0.5 for k in range(30)]}, ClassSettings(), "a number: `target.kind: regression`"),
        ({"label": list(range(40))}, ClassSettings(), "a number: `target.kind: regression`"),
    ],
)
def test_wrong_values_are_refused_by_name(tmp_path, columns, settings, message):
    with pytest.raises((DataError, ConfigError), match=message):
        read_target(table(tmp_path, **columns), settings)


@pytest.mark.parametrize("labels", [[0, 1] * 20, [str(k % 16) for k in range(160)], ["1.5", "2.5"] * 9, ["a", "b"]])
def test_classes_that_are_named_by_numbers_stay_classes(tmp_path, labels):
    assert read_target(table(tmp_path, label=labels), ClassSettings())[1] is None


@pytest.mark.parametrize("events", [[1, 0, 1], ["True", "False", "True"], ["true", "FALSE", "1.0"]])
def test_events_are_read_in_their_forms_and_from_censoring(tmp_path, events):
    path = table(tmp_path, time=[3, 0, 5], event=events)
    labels, target = read_target(path, SURVIVAL)
    assert labels.values.tolist() == [[3, 1], [0, 0], [5, 1]] and labels.labels.tolist() == [
        "event",
        "censored",
        "event",
    ]
    assert target.kind == "survival"
    turned, _ = read_target(path, SurvivalSettings(censored="event"))
    assert turned.values[:, 1].tolist() == [0, 1, 0]


def test_values_come_from_another_table_by_patient_and_missing_ones_are_dropped_where_said(tmp_path):
    path = table(tmp_path, label=["x", "y", "z"])
    pd.DataFrame({"case_id": ["p2", "p0", "p1"], "stage": ["II", "I", None]}).to_csv(tmp_path / "c.csv", index=False)
    settings = OrdinalSettings(table=tmp_path / "c.csv", column="stage", order=("I", "II"))
    with pytest.raises(DataError, match=r"stage '' is no grade.*target.missing=drop"):
        read_target(path, settings)
    labels, _ = read_target(path, settings.model_copy(update={"missing": "drop"}))
    assert labels.keys.tolist() == ["s0", "s2"] and labels.values[:, 0].tolist() == [0, 1]


def test_missing_labels_are_kept_where_they_are_allowed(tmp_path):
    settings = MultiLabelSettings(columns=("er", "pr"), missing="allow")
    labels, _ = read_target(table(tmp_path, er=[1, 0, None], pr=[1, None, 0]), settings)
    assert pd.isna(labels.values).sum() == 2


def test_published_forms_are_read(tmp_path):
    """PANDA's raw `train.csv`, by either of its scores."""
    path = tmp_path / "train.csv"
    path.write_text(
        "image_id,data_provider,isup_grade,gleason_score\n0005f7aa,karolinska,0,0+0\n000920ad,radboud,5,4+5\n"
        "0018ae58,radboud,2,3+4\n001c62ab,karolinska,0,negative\n"
    )
    labels, target = read_target(path, OrdinalSettings(column="isup_grade"))
    assert labels.keys.tolist() == ["0005f7aa", "000920ad", "0018ae58", "001c62ab"] and labels.key_column == "slide"
    assert target.grades == ("0", "2", "5") and labels.values[:, 0].tolist() == [0, 2, 1, 0]
    order = ("negative", "0+0", "3+4", "4+5")
    assert read_target(path, OrdinalSettings(column="gleason_score", order=order))[0].values[:, 0].tolist() == [
        1,
        3,
        2,
        0,
    ]
    assert [row.name for row in read_slide_table(path)] == labels.keys.tolist()


def test_several_published_names_of_a_slide_are_refused_and_ours_goes_before_them(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("image_id,slide_id,label\na,b,1.5\nc,d,2.5\n")
    with pytest.raises(DataError, match="columns slide_id and image_id may both name the slides"):
        read_target(path, RegressionSettings())
    path.write_text("image_id,slide,label\na,b,1.5\nc,d,2.5\n")
    assert read_target(path, RegressionSettings())[0].keys.tolist() == ["b", "d"]


def test_survpath_tables_give_survival_age_and_stage(real_data):
    folder = real_data / "tcga_brca" / "survival"
    path = folder / "metadata_tcga_brca.csv"
    settings = SurvivalSettings(time="survival_months_dss", censored="censorship_dss")
    labels, _ = read_target(path, settings)
    assert len(labels) == 931 and len(set(labels.groups)) == 871
    ages, _ = read_target(path, RegressionSettings(column="age"))
    assert ages.values.min() == 26 and ages.values.max() == 90
    stage = OrdinalSettings(
        table=folder / "clinical_data_tcga_brca_clinical.csv", column="stage", order=("0", "I", "II", "III", "IV"),
        missing="drop",
    )  # fmt: skip
    stages, _ = read_target(path, stage)
    assert len(stages) == 931 and set(stages.labels) <= {"0", "I", "II", "III", "IV"}


def test_survival_of_which_no_row_is_censored_is_stratified_by_time(tmp_path):
    path = table(tmp_path, time=[5, 1, 4, 2], event=[1, 1, 1, 1])
    labels, _ = read_target(path, SURVIVAL)
    assert labels.labels.tolist() == [f"part {part} of its range" for part in (2, 1, 2, 1)]
    assert labels.needed == ()


@pytest.mark.parametrize(("keys", "is_told"), [({"event": "censorship"}, True), ({"censored": "censorship"}, False)])
def test_a_column_of_the_censored_that_is_read_as_events_is_told(tmp_path, caplog, keys, is_told):
    path = table(tmp_path, time=[5, 1, 4, 2], censorship=[1, 0, 1, 0])
    labels, _ = read_target(path, SurvivalSettings(**keys))
    assert labels.values[:, 1].sum() == 2
    assert ("column censorship is read as 1 where the event was seen" in caplog.text) == is_told
