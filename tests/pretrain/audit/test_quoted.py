import pytest

from hage_transfer.pretrain.audit.quoted import METRICS, quoted_rows
from hage_transfer.pretrain.config import METHOD_NAMES


def test_every_row_of_the_three_tables_is_there():
    counts = {
        (table, data): len(quoted_rows(table=table, dataset=data)) for table in (1, 2, 3) for data in ("her2st", "cscc")
    }
    assert counts == {
        (1, "her2st"): 7,
        (1, "cscc"): 7,
        (2, "her2st"): 4,
        (2, "cscc"): 0,
        (3, "her2st"): 8,
        (3, "cscc"): 0,
    }
    assert len(quoted_rows()) == 26


@pytest.mark.parametrize(
    ("table", "dataset", "source", "metric", "mean", "std"),
    [
        (1, "her2st", "hage", "pcc_all", 0.2489, 0.001),
        (1, "her2st", "hage", "mae", 0.3606, 0.002),
        (1, "her2st", "mclstexp", "mse", 0.5897, 0.013),
        (1, "her2st", "stnet", "pcc_heg50", 0.0134, 0.013),
        (1, "cscc", "hage", "pcc_heg50", 0.4607, 0.007),
        (1, "cscc", "thitogene_graph", "mae", 0.6012, 0.019),
        (2, "her2st", "I", "pcc_all", 0.2330, None),
        (2, "her2st", "IV", "mse", 0.4812, None),
        (3, "her2st", "k1_30_k2_2", "pcc_all", 0.2503, None),
        (3, "her2st", "k1_40_k2_3", "pcc_heg50", 0.4504, None),
    ],
)
def test_figures_are_the_papers(table, dataset, source, metric, mean, std):
    (row,) = [row for row in quoted_rows(table=table, dataset=dataset) if row.source == source]
    assert row.mean[metric] == mean
    assert row.std.get(metric) == std


def test_the_papers_own_percentages_follow_from_its_table():
    """8.0% and 15.3% PCC, 18.1% MSE and 38.0% MAE against mclSTExp, as section 3.2 says."""
    rows = {row.source: row.mean for row in quoted_rows(table=1, dataset="her2st")}
    hage, second = rows["hage"], rows["mclstexp"]
    gains = [100 * (hage[metric] / second[metric] - 1) for metric in METRICS]
    assert gains == pytest.approx([8.0, 15.3, -18.1, -38.0], abs=0.06)


def test_methods_bear_the_names_that_measured_ones_have():
    assert {row.source for row in quoted_rows(table=1)} <= set(METHOD_NAMES)


def test_every_value_is_a_possible_score():
    for row in quoted_rows():
        assert set(row.mean) == set(METRICS)
        assert set(row.std) in (set(), set(METRICS))
        assert all(0 < value < 1 for value in (*row.mean.values(), *row.std.values()))
