import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hage_transfer.errors import SplitError
from pretrain.config import FoldSettings
from pretrain.folds import leave_out_folds, split_spots

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
def test_validation_is_a_fifth_and_apart(n_spots, seed):
    train, validation = split_spots(n_spots, share=0.2, seed=seed)
    assert len(validation) == round(n_spots / 5)
    assert (np.sort(np.concatenate([train, validation])) == np.arange(n_spots)).all()


def test_too_few_spots_for_validation_is_an_error():
    with pytest.raises(SplitError, match="2 training spots"):
        split_spots(2, share=0.2, seed=0)
