import numpy as np
import pytest
from PIL import Image

from hage_transfer.encode.section_check import check_sections
from hage_transfer.errors import DataError
from hage_transfer.pretrain.config import PretrainConfig


def write_her2st(root, *, names=("A1", "A2", "B1", "C1"), width_px=700):
    """Sections of 3 x 3 spots, 100 px apart and first at (200, 150), on a white image."""
    places = [(x, y) for y in range(3) for x in range(3)]
    for folder in ("ST-cnts", "ST-spotfiles"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        counts = "\tTP53\n" + "".join(f"{x}x{y}\t{x + y + 1}\n" for x, y in places)
        (root / "ST-cnts" / f"{name}.tsv").write_text(counts)
        rows = "".join(f"{x}\t{y}\t{x}\t{y}\t{200 + 100 * x}\t{150 + 100 * y}\t1\n" for x, y in places)
        (root / "ST-spotfiles" / f"{name}_selection.tsv").write_text(
            "x\ty\tnew_x\tnew_y\tpixel_x\tpixel_y\tselected\n" + rows
        )
        folder = root / "ST-imgs" / name[0] / name
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width_px, 500), "white").save(folder / "he.png")
    return root


@pytest.fixture
def config(tmp_path):
    return PretrainConfig(
        data={"root": write_her2st(tmp_path / "st"), "sections": ["A1", "A2", "B1", "C1"]},
        features=tmp_path / "features",
        patch={"size_px": 64},
    )


def test_check_tells_each_section_as_it_would_be_encoded(config):
    rows = [section.row for section in check_sections(config)]
    assert [row["section"] for row in rows] == ["A1", "A2", "B1", "C1"]
    assert rows[2] == {
        "section": "B1",
        "patient": "B",
        "spots": "9",
        "um/px": "2",
        "by": "spots 200 um apart (legacy ST)",
        "image": "700x500",
        "patch px": "64",
        "left out": "",
    }


@pytest.mark.parametrize("n_overlays", [0, 3])
def test_check_draws_spots_of_the_first_sections_and_encodes_nothing(config, n_overlays):
    checked = check_sections(config, n_overlays=n_overlays)
    written = sorted(path.relative_to(config.features) for path in config.features.rglob("*") if path.is_file())
    assert [str(path) for path in written] == [f"overlays/{name}.png" for name in ("A1", "A2", "B1")[:n_overlays]]
    assert [section.overlay is not None for section in checked] == [k < n_overlays for k in range(4)]


def test_overlay_has_a_ring_of_the_spots_size_around_each_centre(config):
    overlay = check_sections(config)[0].overlay
    pixels = np.asarray(Image.open(overlay)).astype(int)
    ring = (pixels[..., 2] > 200) & (pixels[..., 0] < 60)
    for x in (200, 300, 400):
        for y in (150, 250, 350):  # 100 um are 50 px
            assert ring[y, x - 25 : x - 22].any()
            assert ring[y, x + 22 : x + 26].any()
            assert not ring[y - 15 : y + 15, x - 15 : x + 15].any()


def test_check_goes_on_where_a_section_is_at_fault(config):
    root = config.data.root
    write_her2st(root, names=("A2",), width_px=250)
    checked = check_sections(config)
    assert [section.row["section"] for section in checked if section.fault] == ["A2"]
    assert "6 of 9 spots of section A2 lie outside the image of 250 x 500 px" in checked[1].fault


def test_check_refuses_a_root_without_sections(config, tmp_path):
    empty = config.model_copy(update={"data": config.data.model_copy(update={"root": tmp_path / "none"})})
    with pytest.raises(DataError, match="no such folder"):
        check_sections(empty)
