import numpy as np

from hage_transfer.viewer.overview_cache import cached_overview
from hage_transfer.viewer.slide_files import seen_from


def test_an_overview_is_read_once_for_each_state_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HAGE_CACHE", str(tmp_path / "cache"))
    made = []

    def make():
        made.append(1)
        return np.full((40, 60, 3), 200, dtype=np.uint8)

    for stamp in ("one", "one", "two"):
        found = cached_overview(tmp_path / "slide.tif", stamp, make)
        assert found.shape == (40, 60, 3)
        assert abs(int(found.mean()) - 200) <= 1
    assert len(made) == 2
    for kept in (tmp_path / "cache" / "overviews").iterdir():
        kept.write_bytes(b"torn")
    cached_overview(tmp_path / "slide.tif", "one", make)
    assert len(made) == 3


def test_a_cache_that_cannot_be_written_costs_no_picture(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HAGE_CACHE", str(tmp_path / "file"))
    assert cached_overview(tmp_path / "s.tif", "one", lambda: np.zeros((4, 4, 3), dtype=np.uint8)).shape == (4, 4, 3)


def test_relative_paths_of_a_run_hold_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / "demo" / "data" / "slides").mkdir(parents=True)
    (tmp_path / "demo" / "mil").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = seen_from(tmp_path / "demo" / "mil", type(tmp_path)("demo/data/slides"))
    assert found == tmp_path / "demo" / "data" / "slides"
    assert seen_from(tmp_path / "demo" / "mil", type(tmp_path)("nowhere")) == type(tmp_path)("nowhere")
