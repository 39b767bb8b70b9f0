"""One page over runs: the question, the answer with its uncertainty, the numbers, and how to get them again."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hage_transfer.atomic import write_text
from hage_transfer.config import file_sha256
from hage_transfer.errors import DataError
from hage_transfer.report.html import render_html
from hage_transfer.report.layout import Page, Reproduction, Section
from hage_transfer.report.markdown import render_markdown
from hage_transfer.report.plots import Plot, comparison_plots, curve_plots, difference_plot, gene_plot, roc_plot
from hage_transfer.report.probe_plots import classifier_plots
from hage_transfer.report.probe_tables import classifier_tables
from hage_transfer.report.runs import Run, read_run
from hage_transfer.report.tables import comparison_table, gene_table, quoted_table, section_table
from hage_transfer.report.verdict import difference, differences
from hage_transfer.run_directory import RESULTS_FILE

CLASSIFIERS = ("probe", "mil")
OWN = "hage"


def write_report(runs: Sequence[Path], out: Path) -> None:
    """Writes ``report.md`` and ``report.html`` (whole in itself: no other file, no request) into ``out``.

    Args:
        runs: run directories of ``hage pretrain``, ``hage probe`` and ``hage mil``, any number of each.
        out: folder.

    Raises:
        DataError: no run is given, or one is not finished or not readable.
    """
    if not runs:
        raise DataError("a report needs at least one run directory")
    page = make_page([read_run(path) for path in runs])
    write_text(out / "report.md", render_markdown(page))
    write_text(out / "report.html", render_html(page))


def make_page(runs: Sequence[Run]) -> Page:
    """Gathers what the page says."""
    classifiers = [run for run in runs if run.task in CLASSIFIERS]
    pretrained = [run for run in runs if run.task == "pretrain"]
    answers = [one for run in classifiers for one in differences(run, "auc")]
    for run in pretrained:
        against_ridge = difference(run, "pcc_all", "hage_averaged", "ridge")
        answers += [] if against_ridge is None else [against_ridge]
    sections = [_comparison(classifiers)] if classifiers else []
    sections += [section for run in classifiers if (section := _classifier_details(run)) is not None]
    sections += [section for run in pretrained for section in _genes(run, numbered=len(pretrained) > 1)]
    return Page(
        title="Does it help to have seen genes?",
        question=(
            "A frozen pathology encoder, against the same encoder informed by genes (HAGE): same data, same folds, "
            "same classifiers. The difference is what spatial transcriptomics adds."
        ),
        answers=tuple(answers),
        sections=tuple(sections),
        warnings=tuple(f"{run.path.name}: {warning}" for run in runs for warning in run.warnings()),
        reproduction=tuple(_reproduction(run) for run in runs),
    )


def _comparison(runs: Sequence[Run]) -> Section:
    plots: list[Plot] = []
    for run in runs:
        name = run.path.name
        panels = [difference_plot(run, one.source, one.baseline) for one in differences(run, "auc")]
        panels += comparison_plots(run)
        roc = _roc(run)
        panels += [] if roc is None else [roc]
        plots += [Plot(f"{name}: {panel.title}", panel.svg, panel.alt) for panel in panels]
    text = [
        "A dot is one fold; a thin line joins the same fold of two sources; bars are means over folds (those of AUC "
        "begin at 0.5, which is chance). Diamonds are mean differences, with a 95% interval that allows for the "
        "training rows that folds share (Nadeau & Bengio 2003)."
    ]
    text += [f"{run.path.name}: folds keep each {_folds_by(run)} on one side." for run in runs]
    return Section("Frozen against gene-informed", "comparison", tuple(text), (comparison_table(runs),), tuple(plots))


def _classifier_details(run: Run) -> Section | None:
    """Intervals, tests, other classifiers, few labels, classes and calibration of one run, where it has them."""
    tables = classifier_tables(run)
    if not tables:
        return None
    predictions = _predictions(run)
    plots = () if predictions is None else tuple(classifier_plots(run, predictions))
    return Section(f"{run.path.name}: in detail", f"detail-{run.path.name}", (), tables, plots)


def _folds_by(run: Run) -> str:
    return "group (slide or patient)" if run.meta.get("folds_by") == "group" else "row by itself"


def _genes(run: Run, *, numbered: bool) -> list[Section]:
    suffix = f" ({run.path.name})" if numbered else ""
    anchor = f"-{run.path.name}" if numbered else ""
    tables = [gene_table(run)]
    by_section = section_table(run)
    tables += [] if by_section is None else [by_section]
    quoted = quoted_table(run)
    tables += [] if quoted is None else [quoted]
    text = (
        "How well expression is predicted from the image in held-out sections. Raw HAGE predictions have no scale of "
        "their own (its loss is a correlation): judge errors by the calibrated columns, beside the constants.",
    )
    sections = [Section(f"Genes from the image{suffix}", f"genes{anchor}", text, tuple(tables), (gene_plot(run),))]
    curves = _curves(run)
    if curves is None:
        note = (f"{run.path.name} holds no curves.csv, so training curves are left out.",)
        return [*sections, Section(f"Training{suffix}", f"training{anchor}", note)]
    note = ("A contrastive term that stays at its value at chance, ln(batch), has learned nothing.",)
    return [*sections, Section(f"Training{suffix}", f"training{anchor}", note, plots=tuple(curve_plots(curves)))]


def _roc(run: Run) -> Plot | None:
    predictions = _predictions(run)
    return None if predictions is None else roc_plot(run, predictions)


def _predictions(run: Run) -> pd.DataFrame | None:
    path = run.path / "predictions.csv"
    if not path.is_file():
        return None
    return pd.read_csv(path, dtype={"label": str, "predicted": str, "fold": str, "key": str, "slide": str})


def _curves(run: Run) -> pd.DataFrame | None:
    path = run.path / "curves.csv"
    if not path.is_file():
        return None
    curves = pd.read_csv(path, dtype={"fold": str, "term": str})
    if "source" in curves:
        curves = curves[curves["source"] == OWN]
    missing = {"fold", "trial", "epoch", "term", "value"} - set(curves.columns)
    if missing:
        raise DataError(f"{path}: no column {', '.join(sorted(missing))}; run the pretraining again")
    return None if curves.empty else curves


def _reproduction(run: Run) -> Reproduction:
    environment = run.environment
    packages = environment.get("packages", {})
    return Reproduction(
        name=run.path.name,
        command=" ".join(environment.get("command", [])) or "not recorded",
        commit=str(environment.get("commit") or "not recorded"),
        packages=", ".join(f"{name} {version}" for name, version in packages.items()) or "not recorded",
        results_sha256=file_sha256(run.path / RESULTS_FILE),
        config=run.config.strip() or "not recorded",
    )
