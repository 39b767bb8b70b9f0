import pytest

from hage_transfer.viewer.layer import Layer, NoSuchLayerError, layer_values, sets_of_file
from hage_transfer.viewer.tile_table import read_tile_table


def test_sets_are_read_by_name_from_lines_and_tables(tmp_path):
    (tmp_path / "sets.gmt").write_text("B\t\tESR1\tPGR\tESR1\nA\t\tTP53\n")
    (tmp_path / "sets.csv").write_text(",B,A\nESR1,1,0\nPGR,1,0\nTP53,0,1\n")
    for name in ("sets.gmt", "sets.csv"):
        assert sets_of_file(tmp_path / name) == {"A": ("TP53",), "B": ("ESR1", "PGR")}


@pytest.mark.parametrize("layer", [("set", "A"), ("set", "none"), ("gene", "TP53"), ("column", "x_px"), ("", "ESR1")])
def test_what_tiles_have_not_is_no_layer(tmp_path, make_tiles, layer):
    make_tiles(tmp_path / "tiles.h5ad", genes=["ESR1"])
    with pytest.raises(NoSuchLayerError, match="no such"):
        layer_values(read_tile_table(tmp_path / "tiles.h5ad"), Layer(*layer), {"A": ("TP53",)})
