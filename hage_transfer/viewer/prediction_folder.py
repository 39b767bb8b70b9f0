"""The folder of `hage predict`: expression of every gene over sections or slides."""

import math
from pathlib import Path

import numpy as np

from hage_transfer.data.h5_file import open_h5
from hage_transfer.viewer.contents import Contents, Fact, ListedSlide, by_name
from hage_transfer.viewer.slide_files import SlideFiles

SOURCE = "predicted expression"
_COLUMNS = {"spots": "Spots", "genes": "Genes", "pcc": "Mean PCC"}


def read_predictions(folder: Path, *, slides: Path | None) -> Contents:
    """Every prediction of the folder; its image is looked for by file name, since only that is recorded.

    Raises:
        DataError: a file that `hage predict` did not write.
    """
    files = SlideFiles(slides, run=folder)
    listed = []
    for path in sorted(folder.glob("*.h5ad")):
        if path.name.startswith("."):
            continue
        image, mpp, facts = _facts(path)
        recorded = Path(image) if image else None
        listed.append(
            ListedSlide(
                name=path.stem,
                path=files.find(path.stem, recorded),
                sought=files.sought(recorded),
                facts={SOURCE: facts},
                overlays={SOURCE: path},
                mpp_um_per_px=mpp,
            )
        )
    return Contents(folder.name, "predictions", _COLUMNS, (SOURCE,), by_name(listed, folder))


def _facts(path: Path) -> tuple[str, float | None, dict[str, Fact]]:
    """The image's file name, its um per px, and the row of the list, without reading the expression."""
    with open_h5(path) as file:
        name = file["uns/hage/name"].asstr()[()]
        image = file[f"uns/spatial/{name}/metadata/image"].asstr()[()]
        mpp = float(file["uns/hage/mpp_um_per_px"][()])
        rows, genes = (len(file[key][file[key].attrs["_index"]]) for key in ("obs", "var"))
        pcc = np.asarray(file["var/pcc"], dtype=np.float64) if "var/pcc" in file else np.array([])
    known = pcc[np.isfinite(pcc)]
    mean = float(known.mean()) if len(known) else None
    return str(image), mpp if math.isfinite(mpp) else None, {"spots": rows, "genes": genes, "pcc": mean}
