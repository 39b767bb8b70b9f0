from dataclasses import replace
from pathlib import Path

import pytest

from hage_transfer.compare.records import Record, summarise
from hage_transfer.compare.results import Results
from hage_transfer.report.cells import MISSING, Number, Table, number, spread
from hage_transfer.report.gene_tables import (
    QUOTED_METRICS,
    cluster_table,
    gene_table,
    quoted_table,
    section_table,
    variant_table,
)
from hage_transfer.report.runs import Run, read_run
from hage_transfer.report.tables import comparison_table, task_title


def test_comparison_table_shows_mean_and_std_of_the_folds(runs: dict[str, Path]) -> None:
    run = read_run(runs["probe"])
    table = comparison_table([run])
    values = list(run.fold_values("frozen", "auc").values())
    mean = sum(values) / 5
    std = (sum((value - mean) ** 2 for value in values) / 4) ** 0.5
    assert table.rows[0][2] == f"{mean:.3f} ± {std:.3f}"
    assert table.rows[1][1] == "hage (2 trials)"
    assert table.rows[1][3].endswith("gain")


@pytest.mark.parametrize(("by", "marked"), [(0.1, 1), (-0.1, 0), (0.0, None)])
def test_the_better_source_is_marked_or_none(runs: dict[str, Path], by: float, marked: int | None) -> None:
    run = read_run(runs["mil"])
    frozen = run.fold_values("frozen", "auc")
    moved = [
        replace(r, value=frozen[r.fold] + by) if r.source == "hage" and r.metric == "auc" and r.fold in frozen else r
        for r in run.results.records
    ]
    moved = [replace(r, value=r.value + 0.001 * int(r.fold)) if r.fold in frozen else r for r in moved]
    noisy = replace(run, results=replace(run.results, records=tuple(
        replace(r, value=r.value + 0.01 * (-1) ** int(r.fold)) if r.source == "hage" and r.fold in frozen else r
        for r in moved
    )))  # fmt: skip
    assert comparison_table([noisy]).strong == (frozenset() if marked is None else {marked})


def test_a_number_that_rounds_to_nothing_has_no_minus() -> None:
    assert (number(-0.0001), number(-0.0001, "+z.3f"), spread([-0.0002, 0.0])) == ("0.000", "+0.000", "0.000 ± 0.000")


def test_a_title_names_the_classifier_of_the_bags(runs: dict[str, Path]) -> None:
    run = read_run(runs["mil"])
    assert "AB-MIL" in task_title(run)
    meta = {**run.results.meta, "model": {"kind": "mean"}}
    assert "Slides, mean pooling" in task_title(replace(run, results=replace(run.results, meta=meta)))


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


def with_variants(run: Run, variants: dict[str, dict[str, object]], values: dict[str, float]) -> Run:
    records = [
        Record(
            task="pretrain",
            source=name,
            split="test",
            fold=fold,
            trial=trial,
            metric="pcc_all",
            value=value + 0.01 * (trial or 0),
        )
        for name, value in values.items()
        for fold in ("B", "C")
        for trial in (0, 1, None)
    ]
    results = Results([*records, *summarise(records)], {**run.results.meta, "variants": variants})
    return Run(run.path, run.task, results, "", {})


def test_a_variant_stands_beside_hage_with_what_it_changes(runs: dict[str, Path]) -> None:
    variants = {"II_no_ge": {"model.gene_informed": False}}
    run = with_variants(read_run(runs["pretrain"]), variants, {"hage": 0.25, "II_no_ge": 0.2})
    delta = {"source": "II_no_ge", "baseline": "hage", "metric": "pcc_all", "mean": -0.05, "std": 0.01,
             "n_pairs": 4, "n_above": 0}  # fmt: skip
    run = Run(run.path, run.task, Results(run.results.records, {**run.meta, "differences": [delta]}), "", {})
    table = variant_table(run)
    assert table is not None
    assert table.rows[1] == ("II_no_ge (model.gene_informed=False)", "0.200 ± 0.000", "-0.0500 ± 0.0100", "0 of 4")
    assert [row[0] for row in gene_table(run).rows] == ["HAGE, single trials"]  # a variant is no method
    assert cluster_table(run) is None


def test_cluster_variants_make_the_grid_in_order(runs: dict[str, Path]) -> None:
    variants = {f"k1_{a}_k2_{b}": {"clusters.k1": a, "clusters.k2": b} for a in (20, 10) for b in (3, 2)}
    values = dict.fromkeys(variants, 0.2) | {"hage": 0.25}
    run = with_variants(read_run(runs["pretrain"]), variants, values)
    table = cluster_table(run)
    assert table is not None
    assert [row[:2] for row in table.rows] == [
        ("2", "10"), ("2", "20"), ("3", "10"), ("3", "20"), ("as configured", MISSING),
    ]  # fmt: skip
    assert variant_table(run) is None


def test_numbers_keep_their_full_value() -> None:
    cell = spread([0.12345, 0.2])
    assert isinstance(cell, Number)
    assert cell == "0.162 ± 0.054"
    assert cell.value == pytest.approx(0.161725)
    assert spread([]) == number(None) == MISSING


@pytest.mark.parametrize("cell", ["<script>alert(1)</script>", "a|b", "two\nlines"])
def test_markdown_cells_hold_no_tag_bar_or_line_break(cell: str) -> None:
    lines = Table("caption", ("name", "n"), ((cell, "1"),)).markdown().splitlines()
    assert len(lines) == 5
    assert "<" not in lines[2]
    assert lines[2].replace(r"\|", "").count("|") == 3
