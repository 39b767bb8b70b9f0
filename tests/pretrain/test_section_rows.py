import math

import pytest

from hage_transfer.pretrain.section_rows import over_trials, section_rows


def test_the_folds_row_is_the_mean_of_the_defined_sections():
    records = section_rows(
        {"A1": {"pcc": 0.2}, "A2": {"pcc": 0.4}, "A3": {"pcc": math.nan}}, source="s", fold="A", trial=0
    )
    assert {r.section: r.value for r in records} == {"A1": 0.2, "A2": 0.4, "A3": None, None: pytest.approx(0.3)}


def test_no_defined_section_leaves_the_fold_undefined():
    assert [r.value for r in section_rows({"A1": {"pcc": math.nan}}, source="s", fold="A", trial=0)] == [None, None]


def test_trials_are_averaged_section_by_section():
    records = [
        r for t, v in enumerate((0.1, 0.3)) for r in section_rows({"A1": {"pcc": v}}, source="s", fold="A", trial=t)
    ]
    means = over_trials(records)
    assert {(r.section, r.trial): r.value for r in means} == {
        ("A1", None): pytest.approx(0.2),
        (None, None): pytest.approx(0.2),
    }
