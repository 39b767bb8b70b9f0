"""Which new units, or patients of theirs, trained a classifier: told where it is known, and where it is not."""

import shutil

import pandas as pd

import hage_transfer as ht
from hage_transfer.apply.warned import trained_on


def test_training_slides_and_patients_among_new_ones_are_named(made, tmp_path):
    classifier = ht.load_classifier(made.run.folder / "classifier" / "frozen")
    table = tmp_path / "new.csv"
    pd.DataFrame({"slide": ["s1", "n1"], "group": ["x", "p3"]}).to_csv(table, index=False)
    told = trained_on(classifier, ["s1", "n1"], table)
    assert "1 of 2 (first: s1)" in told
    assert "1 of their patients (first: p3)" in told
    assert trained_on(classifier, ["n1", "n2"], None) == ""


def test_patients_are_not_known_where_the_run_s_label_table_is_gone(made, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(made.run.folder, run)
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace(str(made.root / "labels.csv"), str(tmp_path / "gone.csv")))
    assert trained_on(ht.load_classifier(run / "classifier" / "frozen"), ["n1", "n2"], None) is None
