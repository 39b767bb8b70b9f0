import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from hage_transfer.errors import DataError
from hage_transfer.viewer.tile_table import gene_values, read_tile_table

GENES = ["ERBB2", "ESR1", "COL1A1"]


def write_prediction(path, *, shape="circle", side=100.0):
    rng = np.random.default_rng(0)
    table = ad.AnnData(
        X=rng.normal(size=(7, 3)).astype(np.float32),
        obs=pd.DataFrame({"total": np.arange(7.0), "region": list("aabbccc")}, index=[f"{k}x1" for k in range(7)]),
        var=pd.DataFrame({"validation_pcc": [0.1, np.nan, 0.3], "pcc": [0.2, 0.4, np.nan]}, index=GENES),
        obsm={"spatial": np.arange(14.0).reshape(7, 2) * 150},
    )
    table.uns["spatial"] = {
        "A1": {"scalefactors": {"spot_diameter_fullres": side}, "metadata": {"image": "a1.jpg"}, "images": {}}
    }
    table.uns["hage"] = {"name": "A1", "shape": shape, "mpp_um_per_px": 0.78}
    table.write_h5ad(path)
    return table


def test_tile_table_gives_back_places_columns_and_genes(tmp_path, make_tiles):
    written = make_tiles(tmp_path / "tiles.h5ad", genes=GENES)
    table = read_tile_table(tmp_path / "tiles.h5ad")
    assert len(table) == 48
    assert table.shape == "square"
    assert table.genes == tuple(GENES)
    assert list(table.columns) == ["attention", "percentile", "probability_tumour"]
    assert table.score_name == "heldout_pcc"
    assert table.cautions == ("attention is nearly even",)
    np.testing.assert_array_equal(table.boxes[9], [128, 128, 128, 128])
    np.testing.assert_allclose(table.columns["attention"], written.obs["attention"], rtol=1e-6)


@pytest.mark.parametrize("store", [np.asarray, scipy.sparse.csr_matrix, scipy.sparse.csc_matrix])
def test_gene_values_are_the_files_column(tmp_path, make_tiles, store):
    path = tmp_path / "tiles.h5ad"
    written = make_tiles(path, genes=GENES)
    written.X = store(written.X)
    written.write_h5ad(path)
    table = read_tile_table(path)
    for place, gene in enumerate(GENES):
        values = gene_values(table, [gene])
        assert values.dtype == np.float32
        expected = written.X[:, place]
        np.testing.assert_array_equal(
            values, expected.toarray().ravel() if scipy.sparse.issparse(expected) else expected
        )


def test_tile_table_without_genes_has_columns(tmp_path, make_tiles):
    make_tiles(tmp_path / "tiles.h5ad", genes=[])
    table = read_tile_table(tmp_path / "tiles.h5ad")
    assert table.genes == ()
    assert "attention" in table.columns


def test_prediction_has_spots_around_their_centres_and_measured_pcc(tmp_path):
    written = write_prediction(tmp_path / "A1.h5ad")
    table = read_tile_table(tmp_path / "A1.h5ad")
    assert table.shape == "circle"
    np.testing.assert_allclose(table.boxes[:, :2] + table.boxes[:, 2:] / 2, written.obsm["spatial"])
    assert set(np.unique(table.boxes[:, 2:])) == {100.0}
    assert table.score_name == "pcc"
    assert list(table.columns) == ["total"]  # region is no number


@pytest.mark.parametrize("content", [None, b"not h5"])
def test_tile_table_names_a_file_that_is_gone_or_damaged(tmp_path, content):
    path = tmp_path / "tiles.h5ad"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"tiles\.h5ad"):
        read_tile_table(path)


def test_tile_table_names_the_column_that_is_missing(tmp_path, make_tiles):
    written = make_tiles(tmp_path / "tiles.h5ad", genes=[])
    del written.obs["width_px"]
    written.write_h5ad(tmp_path / "tiles.h5ad")
    with pytest.raises(DataError, match="width_px"):
        read_tile_table(tmp_path / "tiles.h5ad")
