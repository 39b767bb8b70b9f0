import gzip
import re

import numpy as np
import pytest
from PIL import Image

from hage_transfer.config import SECTION_LAYOUTS, SectionsSettings
from hage_transfer.data.sections import LAYOUTS, read_sections, section_names
from hage_transfer.errors import DataError


def test_layouts_are_those_of_the_config():
    assert set(LAYOUTS) == set(SECTION_LAYOUTS)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_sections_of_a_missing_folder_are_refused(layout, tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such folder; set data\.root"):
        section_names(SectionsSettings(layout=layout, root=tmp_path / "nowhere"))


@pytest.mark.parametrize("layout", ["gse144240", "space_ranger", "anndata"])
def test_sections_of_an_empty_folder_are_refused(layout, tmp_path):
    with pytest.raises(DataError, match=f"no section of the {layout} layout"):
        section_names(SectionsSettings(layout=layout, root=tmp_path))


def test_sections_name_the_nearest_of_an_unknown_one(her2st_root):
    with pytest.raises(DataError, match=r"no section A22 \(nearest: A2\); it has A1, A2, B1"):
        section_names(SectionsSettings(root=her2st_root, sections=("A22",)))


@pytest.mark.parametrize(("names", "message"), [(("A2", "A2"), "more than once"), ((), "empty")])
def test_sections_refuse_a_list_that_repeats_or_is_empty(her2st_root, names, message):
    with pytest.raises(DataError, match=message):
        section_names(SectionsSettings(root=her2st_root, sections=names))


@pytest.mark.parametrize(("value", "shown"), [("-3", "-3"), ("1.5", "1.5"), ("inf", "inf")])
def test_sections_refuse_counts_that_are_no_counts(her2st_root, value, shown):
    path = her2st_root / "ST-cnts" / "A2.tsv.gz"
    text = gzip.decompress(path.read_bytes()).decode().replace("31", value)
    path.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(DataError, match=rf"A2\.tsv\.gz.*first {shown} at spot 2x1, gene FASN"):
        read_sections(SectionsSettings(root=her2st_root, sections=("A2",)))


def test_sections_refuse_spots_outside_the_image(her2st_root):
    Image.new("RGB", (80, 30)).save(her2st_root / "ST-imgs" / "A" / "A2" / "he.jpg")
    with pytest.raises(DataError, match=r"2 of 4 spots.*80 x 30 px, the first 1x2 at \(20, 40\.5\)"):
        read_sections(SectionsSettings(root=her2st_root, sections=("A2",)))


def test_sections_refuse_an_image_that_cannot_be_read(her2st_root):
    (her2st_root / "ST-imgs" / "A" / "A2" / "he.jpg").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"he\.jpg: neither a slide nor an image that can be read"):
        read_sections(SectionsSettings(root=her2st_root, sections=("A2",)))


def test_sections_take_the_users_resolution_first(her2st_root):
    (section,) = read_sections(SectionsSettings(root=her2st_root, sections=("A2",), mpp_um_per_px=0.4))
    assert section.uns["section"]["mpp_um_per_px"] == 0.4


@pytest.mark.parametrize(
    ("column", "name"),
    [("section", "../../escaped"), ("section", "A/B"), ("section", "A\\B"), ("section", ".."), ("library_id", "A\\B")],
)
def test_a_section_whose_name_leads_to_another_folder_is_refused(tmp_path, made, column, name):
    section = made().anndata()
    section.obs[column] = [name] * 10 + ["B"] * 10
    section.uns["spatial"] = {library: {} for library in (name, "B") if column == "library_id"}
    section.write_h5ad(tmp_path / "S1.h5ad")
    with pytest.raises(DataError, match=rf"S1\.h5ad: a section is called {re.escape(repr(name))}.*rename it"):
        section_names(SectionsSettings(layout="anndata", root=tmp_path))
    assert section_names(SectionsSettings(layout="anndata", root=tmp_path, sections=("B",))) == ["B"]


def test_one_section_under_two_names_is_said(her2st_root, caplog):
    read_sections(SectionsSettings(root=her2st_root, sections=("A1", "B1")))
    assert "sections A1 and B1 have the same counts at the same spots: one section twice?" in caplog.text


def test_other_counts_at_the_same_spots_are_another_section(her2st_root, write_counts, caplog):
    rows = {"1x1": [1, 0, 2], "2x1": [0, 0, 31], "1x2": [4, 5, 0], "2x2": [0, 7, 121]}
    write_counts(her2st_root / "ST-cnts" / "B1.tsv.gz", ["ERBB2", "CD74", "FASN"], rows)
    read_sections(SectionsSettings(root=her2st_root, sections=("A1", "B1")))
    assert "one section twice" not in caplog.text


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (lambda raw: np.round(raw / raw.sum(1, keepdims=True) * 1e4), "all spots sum to about 1000"),
        (lambda raw: (raw > 4).astype(int), "no count is above 1"),
        (lambda raw: raw, ""),
    ],
)
def test_whole_numbers_that_no_sequencing_gives_are_said(tmp_path, write_counts, write_spots, caplog, counts, said):
    raw = counts(np.random.default_rng(0).poisson(np.linspace(4, 6, 12)[:, None], (12, 300)))
    rows = {f"{k}x1": row.astype(int).tolist() for k, row in enumerate(raw)}
    write_counts(tmp_path / "ST-cnts" / "B1.tsv", [f"G{k}" for k in range(300)], rows)
    write_spots(tmp_path / "ST-spotfiles" / "B1_selection.tsv", [(k, 1, 20 * k, 20, 1) for k in range(12)])
    read_sections(SectionsSettings(root=tmp_path, sections=("B1",)))
    assert ("are they raw counts?" in caplog.text) == bool(said)
    assert said in caplog.text
