"""Controls on the page: never the answer, shown as what they are, and asked before genes are named."""

from dataclasses import replace
from pathlib import Path

import pytest

from hage_transfer.compare.controls import NO_CONTROLS
from hage_transfer.compare.records import Record, summarise
from hage_transfer.compare.results import Results
from hage_transfer.report.answer import answer_of
from hage_transfer.report.markdown import render_markdown
from hage_transfer.report.page import make_page
from hage_transfer.report.runs import Run

FROZEN = [0.70, 0.72, 0.74, 0.71, 0.73]
NOISE = [0.004, -0.003, 0.002, -0.004, 0.001]


def stored(folder: Path, *args: object, **options: object) -> Run:
    """A run whose results lie in a folder, as the page's list of hashes wants."""
    run = run_of(*args, **options)
    run.results.save(folder / "results.json")
    return replace(run, path=folder)


def run_of(name: str, gains: dict[str, float], *, synthetic: bool = False, task: str = "probe") -> Run:
    gains = {"frozen": 0.0, **gains}
    records = [
        Record(
            task=task,
            source=source,
            split="test",
            fold=str(fold),
            trial=None,
            metric=metric,
            value=base + gain + noise * (k + 1),
        )
        for k, (source, gain) in enumerate(gains.items())
        for fold, (base, noise) in enumerate(zip(FROZEN, NOISE, strict=True))
        for metric in ("auc", "accuracy", "recall")
    ]
    features = {
        one: [{"encoder": "e", "control": "" if one in ("frozen", "hage") else one, "synthetic": synthetic}]
        for one in gains
    }
    meta = {"features": features, "class_counts": {name: 5}, "folds_by": "group", "rows": 50}
    return Run(Path(name), task, Results([*records, *summarise(records)], meta), "", {})


BOTH = {"untrained": 0.0, "shuffled": 0.01}


@pytest.mark.parametrize(
    ("gains", "verdict", "genes", "headline"),
    [
        ({"hage": 0.1, **BOTH}, "gain", True, "Yes, here it helps"),
        ({"hage": 0.1}, "gain", False, "A gain, not shown to be owed to genes"),
        ({"hage": 0.1, "untrained": 0.1, "shuffled": 0.0}, "gain", False, "A gain, not shown to be owed to genes"),
        ({"hage": 0.001, **BOTH}, "within noise", None, "No difference is shown"),
        ({"hage": -0.1, **BOTH}, "loss", None, "No, here it is worse"),
        ({"pca": 0.2, "untrained": 0.3, "hage": 0.1, "shuffled": 0.0}, "gain", False, "A gain, not shown"),
    ],
)
def test_the_answer_names_genes_only_beside_both_controls(gains, verdict, genes, headline):
    answer = answer_of([run_of("a", gains)])
    assert (answer.verdict, answer.genes) == (verdict, genes)
    assert answer.headline.startswith(headline)
    assert ("the genes" in answer.sentence) is (genes is True)
    assert {part.source for part in answer.parts} == {"hage"}
    assert answer.sentence.count(". ") == 0


def test_controls_must_be_there_in_every_run_of_the_answer():
    both = [run_of("a", {"hage": 0.1, **BOTH}), run_of("b", {"hage": 0.1, **BOTH}, task="mil")]
    assert answer_of(both).genes
    one_without = [both[0], run_of("b", {"hage": 0.1}, task="mil")]
    assert answer_of(one_without).sentence.endswith(f"; {NO_CONTROLS}.")


def test_a_run_of_controls_alone_answers_nothing():
    answer = answer_of([run_of("a", BOTH)])
    assert answer.verdict == "not judged"
    assert answer.parts == ()


def test_the_page_shows_controls_as_controls_in_a_table_of_their_own(tmp_path):
    page = make_page([stored(tmp_path, "a", {"hage": 0.1, **BOTH})])
    first, controls = page.sections[0].tables
    assert [row[1] for row in first.rows] == ["frozen", "hage", "untrained (control)", "shuffled (control)"]
    assert controls.title.startswith("Controls")
    assert [row[1] for row in controls.rows] == ["untrained", "shuffled"]
    assert controls.rows[0][-1].endswith("gain")
    text = render_markdown(page)
    assert "untrained (control)" in text
    assert "untrained (control) minus" not in page.sections[0].plots[-1].alt


def test_a_page_of_a_run_without_controls_has_no_such_table(tmp_path):
    assert len(make_page([stored(tmp_path, "a", {"hage": 0.1})]).sections[0].tables) == 1


@pytest.mark.parametrize("synthetic", [True, False])
def test_synthetic_data_are_named_in_title_tables_and_pictures_by_what_the_features_say(tmp_path, synthetic):
    page = make_page([stored(tmp_path, "any name", {"hage": 0.1}, synthetic=synthetic)])
    assert ("synthetic data" in page.title) is synthetic
    for section in page.sections:
        for table in section.tables:
            shown = table.title + table.caption + " ".join(cell for row in table.rows for cell in row)
            assert ("synthetic data" in shown) is synthetic
        for plot in section.plots:
            assert ("synthetic data" in plot.title + plot.alt + plot.svg) is synthetic
