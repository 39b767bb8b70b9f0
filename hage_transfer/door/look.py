"""`look`: are new slides like those that a classifier was trained on, before anything is scored."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hage_transfer.data.feature_layouts import Given
from hage_transfer.door.given import PathLike, Table, path_of
from hage_transfer.door.tables import given_table
from hage_transfer.running.job import Engine
from hage_transfer.running.progress import Progress, open_run, shown

if TYPE_CHECKING:
    from hage_transfer.apply.health import Health


def look(
    classifier: PathLike,
    given: PathLike,
    *,
    labels: Table | None = None,
    source: str | None = None,
    out: PathLike | None = None,
    model: Callable[..., Any] | None = None,
    slide_mpp_um_per_px: float | None = None,
    encoder_name: str | None = None,
    encoder_sha256: str | None = None,
    mpp_um_per_px: float | None = None,
    jobs: int = 1,
    engine: Engine = "processes",
    address: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> "Health":
    """Looks at new slides, images or features beside a classifier's training cohort; nothing is encoded or scored.

    Scanner, um per px, share of tissue, tiles and stain of every slide; what differs by name. Writes ``health.html``,
    ``health.csv`` and ``health.json`` into the folder of the application, which ``apply`` goes on with.

    Args:
        classifier: classifier directory, run of ``mil`` or ``probe``, or ``organisation/name`` on the hub.
        given: slides (a folder or one file), images or patches, or features of bags in any layout.
        labels: a table of the slides, of which ``mpp`` says a slide's level-0 resolution.
        source: feature source of a run that has several.
        out: folder to write to; None: that of ``apply``.
        model: the class of a bag classifier of your own.
        slide_mpp_um_per_px: level-0 resolution of slides that record none.
        encoder_name: frozen encoder of feature files that do not record it.
        encoder_sha256: hash of its weights, likewise.
        mpp_um_per_px: resolution of their tiles, likewise.
        jobs: at a time.
        engine: where they run.
        address: of a Ray cluster.
        overwrite: delete what an earlier call, or an application, left there first.
        progress: called with (done, total, name) as slides end.

    Raises:
        InputError: a classifier or input that does not fit; the message says which.
        ItemsFailedError: some slides failed; they are in ``failures.csv``, ``done`` of the error has the rest.
    """
    with shown("look", progress) as tell:
        from hage_transfer.apply.inputs import How  # torch
        from hage_transfer.apply.look import look_before
        from hage_transfer.apply.run import application_config, default_out
        from hage_transfer.door.load_classifier import load_classifier
        from hage_transfer.encode.bags import Workers

        chosen, place = load_classifier(classifier, source=source, model=model), Path(given)
        folder = path_of(out) or default_out(chosen, place)
        table = given_table(labels, folder, "labels")
        how = How(
            device="cpu",
            workers=Workers(jobs=jobs, engine=engine, address=address),
            given=Given(encoder=encoder_name, encoder_sha256=encoder_sha256, mpp_um_per_px=mpp_um_per_px),
            slide_mpp_um_per_px=slide_mpp_um_per_px,
            table=table.path,
        )
        config = application_config(chosen, place, folder)
        with open_run(folder, config, overwrite=overwrite) as run:
            table.write()
            return look_before(chosen, place, out=run, how=how, progress=tell)
