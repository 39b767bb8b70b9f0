"""Matrices of h5ad files that hold no counts, though they look like some, or are damaged."""

import h5py
import numpy as np
import pytest
import scipy.sparse as sp

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import read_sections
from hage_transfer.errors import DataError


def as_(kind):
    def change(section):
        section.X = kind(section.X)

    return change


def test_of_layers_that_differ_in_case_the_usual_name_is_taken(read, made):
    section = made().anndata()
    section.layers["counts"], section.layers["Counts"] = section.X.copy(), section.X * 2
    assert read(section)[0].X.sum() == made().counts.sum()


@pytest.mark.parametrize("place", ["indices", "indptr", "form"])
def test_a_damaged_matrix_by_columns_is_refused_before_it_is_sliced(tmp_path, made, place):
    section = made().anndata()
    section.X = sp.csc_matrix(section.X)
    section.write_h5ad(tmp_path / "S1.h5ad")
    with h5py.File(tmp_path / "S1.h5ad", "a") as file:
        if place == "form":
            file["X"].attrs["encoding-type"] = "csr_matrix"
        else:
            file[f"X/{place}"][1] = 10**6
    with pytest.raises(DataError, match=r"S1\.h5ad: cannot be read as AnnData: X"):
        read_sections(SectionsSettings(layout="anndata", root=tmp_path))


@pytest.mark.parametrize("kind", [as_(lambda x: x.toarray() > 0), as_(lambda x: x.astype(bool))])
def test_true_and_false_are_no_counts(read, made, kind):
    section = made().anndata()
    kind(section)
    with pytest.raises(DataError, match=r"S1\.h5ad: counts are true and false"):
        read(section)


@pytest.mark.parametrize("kind", [as_(lambda x: (-x.astype("i4")).astype("u4")), as_(lambda x: x.astype("f4") * 2**24)])
def test_counts_beyond_any_sequencing_are_refused(read, made, kind):
    section = made().anndata()
    kind(section)
    with pytest.raises(DataError, match=r"S1\.h5ad: holds a count of \d+ at spot .*, where 16777216 is beyond any"):
        read(section)


def test_halves_beyond_what_they_hold_exactly_are_refused(read, made):
    section = made().anndata()
    section.X = (section.X.toarray() * 1000).astype("f2")
    with pytest.raises(
        DataError, match=r"S1\.h5ad: X is in half precision \(float16\), which rounds what is above 2048"
    ):
        read(section)


def test_the_first_number_that_is_none_is_shown_whole(read, made):
    section = made().anndata()
    section.X = np.expm1(np.log1p(section.X.toarray().astype("f8"))) + 1e-12
    with pytest.raises(DataError, match=r"the first \d+\.\d{6}"):
        read(section)
