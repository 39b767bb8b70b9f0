from dataclasses import replace
from pathlib import Path

from hage_transfer.report.runs import read_run
from hage_transfer.report.tables import QUOTED_METRICS, Table, comparison_table, gene_table, quoted_table, section_table


def test_comparison_table_shows_mean_and_std_of_the_folds(runs: dict[str, Path]) -> None:
    run = read_run(runs["probe"])
    table = comparison_table([run])
    values = list(run.fold_values("frozen", "auc").values())
    mean = sum(values) / 5
    std = (sum((value - mean) ** 2 for value in values) / 4) ** 0.5
    assert table.rows[0][3] == f"{mean:.3f} ± {std:.3f}"
    assert table.rows[1][1] == "hage (2 trials)"
    assert table.rows[1][-1].endswith("gain")


def test_gene_table_names_preset_split_rule_panel_and_encoder(runs: dict[str, Path]) -> None:
    caption = gene_table(read_run(runs["pretrain"])).caption
    for wanted in ("spot_log10", "patient", "50 genes of highest mean", "140 to 150 genes", "embedded"):
        assert wanted in caption


def test_gene_table_calibrated_errors_are_missing_where_not_measured(runs: dict[str, Path]) -> None:
    table = gene_table(read_run(runs["pretrain"]))
    column = table.header.index("MSE, calibrated")
    cells = {row[0]: row[column] for row in table.rows}
    assert cells["All zero"] == "–"
    assert cells["HAGE, trials averaged"] != "–"


def test_section_table_has_a_row_for_each_test_section(runs: dict[str, Path]) -> None:
    table = section_table(read_run(runs["pretrain"]))
    assert table is not None
    assert [row[:2] for row in table.rows] == [("B1", "B"), ("B2", "B"), ("C1", "C"), ("C2", "C")]


def test_table_markdown_escapes_bars() -> None:
    assert r"a\|b" in Table("caption", ("name", "n"), (("a|b", "1"),)).markdown()


def test_quoted_rows_are_those_of_the_methods_that_ran(runs: dict[str, Path]) -> None:
    run = read_run(runs["pretrain"])
    assert quoted_table(run) is None
    quoted = [
        {"table": table, "source": source, "title": source, "mean": dict.fromkeys(QUOTED_METRICS, 0.25), "std": {}}
        for table, source in ((1, "hage"), (1, "bleep"), (2, "II"), (3, "k1_10_k2_2"))
    ]
    meta = {**run.results.meta, "quoted": quoted}
    table = quoted_table(replace(run, results=replace(run.results, meta=meta)))
    assert table is not None
    assert [row[0] for row in table.rows] == ["hage (Table 1)"]
    assert table.rows[0][1:] == ("0.250",) * 4
    assert "Not measured here" in table.caption
