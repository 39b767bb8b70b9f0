import json

import pytest

from hage_transfer.cli.main import run


def test_dry_run_lists_sections_and_encodes_nothing(her2st, tmp_path, capsys):
    assert run(["encode", "st", str(her2st), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    for word in ("A1", "B1", "um/px", "200 um", "apart", "nothing was encoded"):
        assert word in shown
    assert sorted(path.suffix for path in (tmp_path / "features").rglob("*") if path.is_file()) == [".png", ".png"]


def test_dry_run_names_what_is_at_fault_and_exits_2(her2st, tmp_path, capsys):
    (tmp_path / "st" / "ST-spotfiles" / "B1_selection.tsv").unlink()
    assert run(["encode", "st", str(her2st), "--dry-run"]) == 2
    told = capsys.readouterr()
    assert "A1" in told.out
    assert "1 of 2 sections cannot be read" in told.err
    assert "B1_selection.tsv: no such file" in told.err


@pytest.mark.parametrize(("mpp", "said"), [(2.0, False), (1.4, False), (1.2, True)])
def test_patches_that_are_enlarged_much_are_said(her2st, mpp, said, capsys):
    assert run(["encode", "st", str(her2st), "--set", f"patch.mpp_um_per_px={mpp}"]) == 0  # the image has 2 um/px
    assert ("are enlarged to 64 px (1.7 times)" in " ".join(capsys.readouterr().err.split())) == said


@pytest.fixture
def her2st(tmp_path, monkeypatch):
    """A config of two sections of 3 x 3 spots with images."""
    from PIL import Image

    monkeypatch.setenv("COLUMNS", "200")
    places = [(x, y) for y in range(3) for x in range(3)]
    root = tmp_path / "st"
    for name in ("A1", "B1"):
        for folder in ("ST-cnts", "ST-spotfiles", f"ST-imgs/{name[0]}/{name}"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "ST-cnts" / f"{name}.tsv").write_text("\tTP53\n" + "".join(f"{x}x{y}\t2\n" for x, y in places))
        rows = "".join(f"{x}\t{y}\t{200 + 100 * x}\t{150 + 100 * y}\n" for x, y in places)
        (root / "ST-spotfiles" / f"{name}_selection.tsv").write_text("x\ty\tpixel_x\tpixel_y\n" + rows)
        Image.new("RGB", (700, 500), "white").save(root / "ST-imgs" / name[0] / name / "he.png")
    config = {
        "data": {"root": str(root), "sections": ["A1", "B1"]},
        "features": str(tmp_path / "features"),
        "patch": {"size_px": 64},
    }
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(config))
    return path
