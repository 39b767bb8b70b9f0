import pytest

from hage_transfer.compare.records import Record
from hage_transfer.pretrain.audit.intervals import against_meta, intervals_meta

PATIENTS = {"A2": "A", "A3": "A", "B1": "B", "C1": "C", "D1": "D"}


def rows(source: str, values: dict[str, float | None], trial: int | None = None) -> list[Record]:
    return [
        Record(
            task="pretrain",
            source=source,
            split="test",
            fold=s[0],
            trial=trial,
            metric="pcc_all",
            value=value,
            section=s,
        )
        for s, value in values.items()
    ]


VALUES = {"A2": 0.1, "A3": 0.3, "B1": 0.2, "C1": 0.4, "D1": 0.5}


def test_intervals_hold_their_mean_over_sections_and_count_patients():
    (found,) = intervals_meta(rows("hage", VALUES) + rows("hage", VALUES, trial=0), PATIENTS, seed=0)
    assert found["mean"] == pytest.approx(0.3)
    assert found["low"] < 0.3 < found["high"]
    assert (found["n_units"], found["n_groups"]) == (5, 4)


def test_undefined_sections_are_left_out_and_two_patients_have_no_interval():
    (found,) = intervals_meta(rows("hage", {"A2": 0.1, "B1": 0.2, "C1": None}), PATIENTS, seed=0)
    assert (found["n_units"], found["low"]) == (2, None)
    assert "at least 3" in found["reason"]


def test_a_constant_gap_has_no_width_whatever_the_sections():
    ridge = {section: value - 0.05 for section, value in VALUES.items()}
    (found,) = against_meta(rows("hage", VALUES) + rows("ridge", ridge), PATIENTS, source="hage", seed=0)
    assert (found["source"], found["baseline"]) == ("hage", "ridge")
    assert found["mean"] == pytest.approx(0.05)
    assert found["high"] - found["low"] < 1e-9
