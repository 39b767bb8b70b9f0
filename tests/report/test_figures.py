"""Figures of a report as files of their own."""

from types import SimpleNamespace

import pandas as pd

from hage_transfer.report.cells import Table
from hage_transfer.report.figures import write_figures
from hage_transfer.report.layout import Section


def test_a_file_s_name_says_once_that_data_are_synthetic(tmp_path):
    table = Table(title="Difference, synthetic data", caption="", header=("a",), rows=(("1",),))
    for anchor, name in (
        ("run-mil-synthetic-data", "run-mil-synthetic-data-difference.csv"),
        ("run-mil", "run-mil-difference-synthetic-data.csv"),
    ):
        page = SimpleNamespace(sections=(Section(title="mil", anchor=anchor, tables=(table,)),))
        (path,) = write_figures(page, tmp_path)
        assert path.name == name
        assert pd.read_csv(path).to_dict("list") == {"a": [1]}
