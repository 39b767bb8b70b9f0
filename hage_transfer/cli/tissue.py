"""`hage tissue`: tissue, outlines and tile counts of slides, to be looked at before encoding."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hage_transfer.cli import options

if TYPE_CHECKING:
    from hage_transfer.encode.tissue_survey import Surveyed

Inputs = Annotated[
    list[Path],
    typer.Argument(metavar="CONFIG|SLIDES...", help="A recipe of `hage mil`, or slides and folders of slides."),
]


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("tissue")(tissue)


def tissue(
    inputs: Inputs,
    set_: options.Set = None,
    mpp: options.Mpp = None,
    out: options.Out = None,
    jobs: options.Jobs = 1,
    overwrite: options.Overwrite = False,
) -> None:
    """Show where the tissue of slides is and how many tiles they give, without encoding.

    Writes outlines/<slide>.png, geojson/<slide>.geojson (QuPath opens it; data.tissue.method=geojson reads it back) and
    tissue.csv. Files that were edited since are kept.
    """
    from rich.console import Console

    from hage_transfer.encode.tissue_survey import FAILURE_COLUMNS, SUMMARY, slide_jobs, survey_all, table_columns
    from hage_transfer.errors import ItemsFailedError
    from hage_transfer.running.atomic import write_csv
    from hage_transfer.running.progress import job_progress
    from hage_transfer.running.run_directory import FAILURES_FILE

    overrides = options.with_mpp(set_, mpp)
    work, failed = slide_jobs(inputs, overrides)
    folder = out or Path("runs") / "tissue"
    done: list[Surveyed] = []
    with job_progress("tissue") as progress:
        for result in survey_all(work, folder, n_jobs=jobs, overwrite=overwrite):
            done.append(result)
            progress(result.name, len(done), len(work))
    rows = [result.row for result in done if result.row is not None]
    failed = [*failed, *({"item": one.name, "reason": one.reason} for one in done if one.row is None)]
    write_csv(folder / SUMMARY, table_columns(), rows)
    _show(rows, Console())
    if failed:
        write_csv(folder / FAILURES_FILE, FAILURE_COLUMNS, failed)
        for one in failed:
            Console(stderr=True).print(f"{one['item']}: {one['reason']}", markup=False, highlight=False, soft_wrap=True)
        total = len(failed) + len(rows)
        raise ItemsFailedError(
            f"{len(failed)} of {total} slides failed, see {folder / FAILURES_FILE}; the rest are done"
        )
    (folder / FAILURES_FILE).unlink(missing_ok=True)
    Console().print(f"outlines to look at: {folder / 'outlines'}", markup=False, soft_wrap=True)


def _show(rows: list[dict[str, Any]], console: Any) -> None:
    from rich.table import Table

    table = Table("slide", "um per px", "tissue mm2", "pieces", "ink mm2", "tiles", "s")
    for row in rows:
        names = ("mpp_x_um_per_px", "tissue_mm2", "pieces", "pen_mm2", "tiles", "seconds")
        table.add_row(row["slide"], *("" if row[name] is None else f"{row[name]:.4g}" for name in names))
    console.print(table)
