"""One slide, many spellings: endings, folders, capitals, TCGA's barcode with and without its uuid."""

import pytest

from hage_transfer.errors import nearest
from hage_transfer.slide_names import match_names, slide_name

UUID = "f6e9a5df-d8fb-45cf-b4bd-c6b76294c291"
BARCODE = "TCGA-ZZ-A000-01Z-00-DX1"


@pytest.mark.parametrize(
    "written", ["x", "x.svs", "x.SVS", "x.h5", "x.svs.h5", "x.H5", "p1/x.tif", "D:\\slides\\x.ndpi", "x.pt"]
)
def test_one_slide_has_one_name_whatever_its_ending_and_folder(written):
    assert slide_name(written) == "x"


@pytest.mark.parametrize("name", [f"{BARCODE}.{UUID}", "x.1", ".svs", "a.b.c"])
def test_what_is_no_ending_stays(name):
    assert slide_name(name) == name


@pytest.mark.parametrize(
    ("wanted", "there", "right"),
    [
        ("x", ["x", "X", "y"], "x"),
        ("x", ["X", "y"], "X"),
        (BARCODE, [f"{BARCODE}.{UUID}"], f"{BARCODE}.{UUID}"),
        (f"{BARCODE}.{UUID.upper()}", [BARCODE], BARCODE),
        ("TCGA-ZZ-A000", [BARCODE, "TCGA-ZZ-A001-01Z-00-DX1"], BARCODE),
        ("x", [f"x.{UUID}"], f"x.{UUID}"),
        ("s\u00e41", ["sa\u03081", "sa1"], "sa\u03081"),
        # two answers, or none
        ("x", ["X", f"x.{UUID}"], None),
        ("TCGA-ZZ-A000", [BARCODE, "TCGA-ZZ-A000-01Z-00-DX2"], None),
        (BARCODE, [f"{BARCODE}0"], None),
        ("x", ["x-1"], None),
        ("x", ["x.1"], None),
        ("x", [], None),
    ],
)
def test_a_name_is_matched_where_there_is_one_answer(wanted, there, right):
    assert match_names([wanted], there).get(wanted) == right


def test_no_two_names_mean_one_slide():
    assert match_names(["X", "x"], ["x"]) == {"x": "x"}
    assert match_names([BARCODE, "TCGA-ZZ-A000"], [f"{BARCODE}.{UUID}"]) == {}


def test_thousands_of_names_are_matched_in_passing():
    wanted = [f"TCGA-ZZ-{k:04d}-01Z-00-DX1" for k in range(9000)]
    assert len(match_names(wanted, [f"{name}.{UUID}" for name in wanted])) == 9000


def test_the_nearest_name_is_the_one_that_looks_most_alike():
    assert nearest("case-012", ["case_012", "case-999", "other"]) == ["case_012"]
    assert nearest("x", []) == []
