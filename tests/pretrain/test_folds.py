import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hage_transfer.errors import SplitError
from hage_transfer.pretrain.config import FoldSettings
from hage_transfer.pretrain.folds import leave_out_folds, validation_split

PATIENTS = {"B4": "B", "C2": "C", "C3": "C", "C4": "C", "C5": "C"}


def test_by_patient_every_patient_is_held_out_whole():
    folds = leave_out_folds(PATIENTS, FoldSettings(unit="patient"))
    assert [(fold.name, fold.train, fold.test) for fold in folds] == [
        ("B", ("C2", "C3", "C4", "C5"), ("B4",)),
        ("C", ("B4",), ("C2", "C3", "C4", "C5")),
    ]


@given(st.dictionaries(st.text(min_size=1), st.sampled_from("PQRS"), min_size=2, max_size=12))
def test_by_patient_no_patient_is_on_two_sides(patients):
    if len(set(patients.values())) < 2:
        return
    for fold in leave_out_folds(patients, FoldSettings(unit="patient")):
        assert not {patients[name] for name in fold.train} & {patients[name] for name in fold.test}


def test_by_section_with_named_training_sections():
    (fold,) = leave_out_folds(PATIENTS, FoldSettings(unit="section", held_out=("C4",), train=("C2", "C3", "C5")))
    assert (fold.train, fold.test) == (("C2", "C3", "C5"), ("C4",))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (FoldSettings(unit="patient", held_out=("C4",)), "no patient C4"),
        (FoldSettings(unit="section", held_out=("C44",)), "nearest is C4"),
        (FoldSettings(unit="section", held_out=("C4",), train=("C4", "C5")), "names C4, which is held out"),
        (FoldSettings(unit="patient", held_out=("C",), train=("C2", "B4")), "names C2, which is held out"),
        (FoldSettings(unit="section", held_out=("C4",), train=("X",)), "no section X"),
    ],
)
def test_a_split_that_leaks_or_names_the_unknown_is_refused(settings, message):
    with pytest.raises(SplitError, match=message):
        leave_out_folds(PATIENTS, settings)


def test_one_patient_cannot_be_left_out():
    with pytest.raises(SplitError, match="leaves no section"):
        leave_out_folds({"C2": "C", "C3": "C"}, FoldSettings(unit="patient"))


@given(st.integers(5, 300), st.integers(0, 2**32 - 1))
def test_validation_by_spot_is_a_fifth_and_apart(n_spots, seed):
    train, validation = validation_split(np.zeros(n_spots, dtype=int), FoldSettings(), seed=seed)
    assert len(validation) == round(n_spots / 5)
    assert (np.sort(np.concatenate([train, validation])) == np.arange(n_spots)).all()


@given(st.lists(st.integers(1, 40), min_size=2, max_size=9), st.integers(0, 2**32 - 1))
def test_validation_by_section_cuts_no_section(sizes, seed):
    section = np.repeat(np.arange(len(sizes)), sizes)
    train, validation = validation_split(section, FoldSettings(validation_by="section"), seed=seed)
    assert len(train) and len(validation)
    assert not set(section[train]) & set(section[validation])
    assert (np.sort(np.concatenate([train, validation])) == np.arange(len(section))).all()


def test_validation_by_section_takes_as_many_as_the_share_needs():
    section = np.repeat(np.arange(10), 10)
    train, validation = validation_split(section, FoldSettings(validation_by="section", validation=0.3), seed=0)
    assert (len(train), len(validation)) == (70, 30)


def test_too_few_spots_for_validation_is_an_error():
    with pytest.raises(SplitError, match="2 training spots"):
        validation_split(np.zeros(2, dtype=int), FoldSettings(), seed=0)


def test_one_section_cannot_be_split_by_section():
    with pytest.raises(SplitError, match="two training sections"):
        validation_split(np.zeros(20, dtype=int), FoldSettings(validation_by="section"), seed=0)
