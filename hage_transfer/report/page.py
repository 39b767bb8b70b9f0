"""One page over runs: the question, the answer with its uncertainty, the numbers, and how to get them again."""

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from hage_transfer.compare.differences import METRIC_NAMES
from hage_transfer.compare.error_rates import measured_rates
from hage_transfer.compare.null import null_in
from hage_transfer.errors import ConfigError, DataError, install_extra
from hage_transfer.report.answer import answer_of
from hage_transfer.report.comparison_plots import comparison_plots
from hage_transfer.report.control_table import control_table, naming_controls
from hage_transfer.report.figures import write_figures
from hage_transfer.report.gene_maps import PredictFolder, is_predict_folder, predict_section, run_maps
from hage_transfer.report.gene_plots import curve_plots, gene_plot, variant_plot
from hage_transfer.report.gene_tables import (
    cluster_table,
    gene_table,
    quoted_table,
    section_table,
    unseen_table,
    variant_table,
)
from hage_transfer.report.html import render_html
from hage_transfer.report.layout import Page, Section
from hage_transfer.report.markdown import render_markdown
from hage_transfer.report.notes import notes_of
from hage_transfer.report.pdf import find_browser, write_pdf
from hage_transfer.report.plots import roc_plot, with_line_above
from hage_transfer.report.probe_plots import classifier_plots
from hage_transfer.report.probe_tables import classifier_tables
from hage_transfer.report.ranking_tables import ranking_tables
from hage_transfer.report.reproduction import reproduction_of
from hage_transfer.report.run_tables import read_curves, read_predictions
from hage_transfer.report.runs import MADE_UP, Run, Unfinished, is_unfinished, read_run, read_unfinished, with_labels
from hage_transfer.report.slide_attention import slide_section
from hage_transfer.report.tables import comparison_table
from hage_transfer.report.value_plots import value_plots
from hage_transfer.report.value_tables import value_tables
from hage_transfer.running.atomic import write_text

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

CLASSIFIERS = ("probe", "mil")
_UNITS = {"probe": "patches", "mil": "slides"}
QUESTION = (
    "A frozen pathology encoder, against the same encoder informed by genes (HAGE): same data, same folds, same "
    "classifiers. Controls that no gene taught say whether a difference is owed to genes."
)


def write_report(runs: Sequence[Path], out: Path, *, pdf: bool = False, figures: Path | None = None) -> Page:
    """Writes ``report.md`` and ``report.html`` (whole in itself: no other file, no request) into ``out``.

    Args:
        runs: run directories of ``hage pretrain``, ``probe``, ``mil`` and ``compare``, and folders of ``hage predict``,
            any number of each. A run that is not finished is named among the warnings, beside others that are.
        out: folder.
        pdf: also ``report.pdf``, one page.
        figures: folder of every plot as SVG and csv, and of the tables as csv.

    Returns:
        What the page says.

    Raises:
        ConfigError: ``out`` is a file, or ``pdf`` is asked for where no browser is.
        DataError: no finished run is given, one is given twice, or one is not readable.
    """
    predicted = [path for path in runs if is_predict_folder(path)]
    unfinished = [path for path in runs if path not in predicted and is_unfinished(path)]
    finished = [path for path in runs if path not in predicted and path not in unfinished]
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is a file; out= names a folder")
    if not runs:
        raise DataError("a report needs at least one run directory")
    if not finished and unfinished:
        read_run(unfinished[0])  # says that it is not finished
    if not finished:
        raise DataError(f"{predicted[0]}: holds predictions; a report needs the directory of a run beside them")
    browser = find_browser() if pdf else ""
    for path in unfinished:
        log.warning("%s: has no results yet; the page names it among its warnings", path)
    page = make_page(
        with_labels([read_run(path) for path in finished]),
        predicted=[PredictFolder(path, path.resolve().name) for path in predicted],
        unfinished=[read_unfinished(path) for path in unfinished],
    )
    write_text(out / "report.md", render_markdown(page))
    write_text(out / "report.html", render_html(page))
    if pdf:
        write_pdf(page, out / "report.pdf", browser=browser)
    if figures is not None:
        write_figures(page, figures)
    return page


def make_page(
    runs: Sequence[Run], *, predicted: Sequence[PredictFolder] = (), unfinished: Sequence[Unfinished] = ()
) -> Page:
    """Gathers what the page says.

    Args:
        runs: finished, each with a name of its own.
        predicted: folders of ``hage predict``, whose maps are shown.
        unfinished: runs without results, which are named.
    """
    classifiers = [run for run in runs if run.task in CLASSIFIERS]
    pretrained = [run for run in runs if run.task == "pretrain"]
    anchors = _Anchors()
    of_classes = [run for run in classifiers if not run.meta.get("target")]
    sections = [_comparison(of_classes, anchors)] if of_classes else []
    sections += [_marked(_ranking(run, anchors), run) for run in runs if run.task == "compare"]
    sections += [_marked(_classifier(run, anchors), run) for run in classifiers]
    looked = ((run, slide_section(run, anchors.of("looked", run.name))) for run in classifiers)
    sections += [_marked(found, run) for run, found in looked if found is not None]
    for run in pretrained:
        sections += [_marked(made(run, anchors), run) for made in (_genes, _training)]
    sections += [predict_section(folder, anchors.of("maps", folder.name)) for folder in predicted]
    return Page(
        title="Does it help to have seen genes?" + _made_up(runs),
        question=QUESTION,
        answer=answer_of(runs),
        sections=tuple(sections),
        warnings=tuple(notes_of(runs, unfinished)),
        reproduction=tuple(reproduction_of(run) for run in runs),
    )


def _made_up(runs: Sequence[Run]) -> str:
    made_up = [run.is_synthetic for run in runs]
    return f" ({MADE_UP})" if all(made_up) else f" (in part {MADE_UP})" if any(made_up) else ""


def _marked(section: Section, run: Run) -> Section:
    """The section, its tables and pictures named as synthetic where the run's data are."""
    if not run.is_synthetic:
        return section

    def named(title: str) -> str:
        return title if MADE_UP in title else f"{title}, {MADE_UP}"

    return replace(
        section,
        tables=tuple(replace(one, title=named(one.title)) for one in section.tables),
        plots=tuple(
            replace(one, title=named(one.title), svg=with_line_above(one.svg, MADE_UP)) for one in section.plots
        ),
        pictures=tuple(replace(one, title=named(one.title)) for one in section.pictures),
    )


class _Anchors:
    """Names in links, made of letters and digits, each once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, kind: str, name: str) -> str:
        plain = "-".join([kind, *re.findall(r"[a-z0-9]+", name.lower())])
        anchor, number = plain, 2
        while anchor in self._taken:
            anchor, number = f"{plain}-{number}", number + 1
        self._taken.add(anchor)
        return anchor


def _comparison(runs: Sequence[Run], anchors: _Anchors) -> Section:
    """Figure 3 of the paper over all classifier runs."""
    text = (
        "A bar is the mean over folds, a dot one fold, a thin line joins the same fold (bars of AUC begin at 0.5, "
        "chance: one below it runs to the left). Diamonds are mean gains over the frozen features, with a 95% interval "
        "that allows for the training rows that folds share (Nadeau & Bengio 2003); between equal sources such an "
        f"interval leaves 0 out in at most {measured_rates().worst_verdict:.0%} of simulated sets.",
    )
    title = "Frozen against gene-informed"
    tables = tuple(table for table in (comparison_table(runs), control_table(runs)) if table is not None)
    return Section(title, anchors.of("comparison", ""), text, tables, tuple(comparison_plots(runs)))


def _classifier(run: Run, anchors: _Anchors) -> Section:
    """ROC, calibration, confusion, intervals, tests, other classifiers, few labels, classes: what the run has."""
    predictions = read_predictions(run)
    plots = []
    if run.meta.get("target"):
        return _valued(run, predictions, anchors)
    if predictions is not None:
        roc = roc_plot(run, predictions)
        plots = [*([] if roc is None else [roc]), *classifier_plots(run, predictions)]
    null = null_in(run.results)
    tables = tuple(naming_controls(table, run) for table in classifier_tables(run))
    text = [_folds_by(run), *([] if null is None else [null.sentence(_UNITS[run.task])])]
    if predictions is None:
        text.append("The run holds no predictions.csv, so ROC, calibration and confusion are left out.")
    return Section(f"{run.name}: in detail", anchors.of("detail", run.name), tuple(text), tables, tuple(plots))


def _ranking(run: Run, anchors: _Anchors) -> Section:
    """Every system's place, task by task."""
    title = f"All systems ({run.name})"
    return Section(title, anchors.of("systems", run.name), tuple(run.meta["sentences"].values()), ranking_tables(run))


def _valued(run: Run, predictions: "pd.DataFrame | None", anchors: _Anchors) -> Section:
    """A run whose target is no class."""
    main, null = run.results.main_metric, null_in(run.results)
    text = [_folds_by(run), *([] if null is None else [null.sentence(_UNITS[run.task])])]
    plots = comparison_plots([run], {main: METRIC_NAMES.get(main, main)})
    if predictions is None:
        text.append("The run holds no predictions.csv, so its curves are left out.")
    elif run.meta["target"]["kind"] == "survival" and find_spec("sksurv") is None:
        text.append(f"Survival curves need scikit-survival: {install_extra('survival')}.")
    else:
        plots += value_plots(run, predictions)
    title = f"{run.name}: {run.meta['target']['kind']}"
    return Section(title, anchors.of("detail", run.name), tuple(text), value_tables(run), tuple(plots))


def _genes(run: Run, anchors: _Anchors) -> Section:
    made = (gene_table, variant_table, cluster_table, unseen_table, section_table, quoted_table)
    tables = tuple(table for make in made if (table := make(run)) is not None)
    maps, left = run_maps(run)
    text = [
        "How well expression is predicted from the image in held-out sections. Raw HAGE predictions have no scale of "
        "their own (its loss is a correlation): judge errors by the calibrated columns, beside the constants."
    ]
    if maps:
        text.append(
            "The maps show, of each section, the gene that is predicted best, one at the upper quarter and one at the "
            f"median of all genes' PCC, measured and predicted each on a scale of its own. {left}"
        )
    variants = variant_plot(run)
    plots = (gene_plot(run), *(() if variants is None else (variants,)), *maps)
    title = f"Genes from the image ({run.name})"
    return Section(title, anchors.of("genes", run.name), tuple(text), tables, plots)


def _training(run: Run, anchors: _Anchors) -> Section:
    title, anchor = f"Training ({run.name})", anchors.of("training", run.name)
    curves = read_curves(run)
    if curves is None:
        return Section(title, anchor, ("The run holds no curves.csv, so training curves are left out.",))
    note = "A contrastive term that stays at its value at chance, ln(candidates), has learned nothing."
    return Section(title, anchor, (note,), plots=tuple(curve_plots(curves)))


def _folds_by(run: Run) -> str:
    if run.meta.get("folds_by") == "group":
        return "Folds keep each group (slide or patient) on one side."
    return "Folds split rows: rows of one slide or patient may train and be tested."
