"""`tissue`: where the tissue of slides is, and how many tiles they give."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hage_transfer.config import Changes
from hage_transfer.door.given import PathLike
from hage_transfer.encode.tissue_survey import survey_slides
from hage_transfer.running.progress import Progress, shown

DEFAULT_OUT = Path("runs") / "tissue"


def tissue(
    slides: PathLike | Sequence[PathLike],
    *,
    out: PathLike = DEFAULT_OUT,
    changes: Changes | None = None,
    mpp_um_per_px: float | None = None,
    jobs: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Looks at the tissue of slides before anything is encoded.

    Writes ``outlines/<slide>.png``, ``geojson/<slide>.geojson`` (QuPath opens it; ``data.tissue.method: geojson`` reads
    it back) and ``tissue.csv`` into ``out``; files that were edited since are kept. Run again, it does what is left.

    Args:
        slides: slides and folders of slides, or one recipe of `mil`.
        out: folder to write to.
        changes: of the recipe; for slides without one, keys of ``data``: ``{"data": {"tile_px": 224}}``.
        mpp_um_per_px: level-0 resolution of slides that record none.
        jobs: slides at a time.
        overwrite: make anew, edited outlines too.
        progress: called with (done, total, name) as each slide ends.

    Returns:
        The rows of ``tissue.csv``: a row a slide, areas in mm2, resolution in um per px.

    Raises:
        InputError: the recipe or its table is wrong, there is no slide, or none can be read.
        ItemsFailedError: some slides failed; they are in ``failures.csv``, ``done`` of the error has the rest.
    """
    paths = [Path(one) for one in ([slides] if isinstance(slides, str) or hasattr(slides, "__fspath__") else slides)]
    with shown("tissue", progress) as tell:
        return survey_slides(
            paths,
            out=Path(out),
            changes=changes or (),
            mpp_um_per_px=mpp_um_per_px,
            n_jobs=jobs,
            overwrite=overwrite,
            progress=tell,
        )
