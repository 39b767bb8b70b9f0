"""Genes over slides: patients count once, whatever the number of their slides, in every mean of the table."""

import numpy as np
import pandas as pd
import pytest

from hage_transfer.explain.over_slides import _of_class


def table(effect, g):
    columns = {"rank_biserial": effect, "hedges_g": g, "gene_attention_rank_biserial": np.nan}
    known = {"validation_pcc": 0.5, "heldout_pcc": np.nan}
    return pd.DataFrame({"gene": ["MKI67"], **columns, **known}).set_index("gene")


def test_all_effects_are_means_over_patients():
    tables = {"a1": table(0.2, 1.0), "a2": table(0.2, 1.0), "a3": table(0.2, 1.0), "b": table(0.6, 3.0)}
    (row,) = _of_class("tumour", tables, {"a1": "a", "a2": "a", "a3": "a", "b": "b"}).to_dict("records")
    assert row["mean_rank_biserial"] == pytest.approx(0.4)
    assert row["mean_hedges_g"] == pytest.approx(2.0)
    assert np.isnan(row["mean_gene_attention_rank_biserial"])
