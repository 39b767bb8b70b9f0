"""`hage encode slides --layout`: the features in CLAM's or TRIDENT's folders too, beside this project's own files."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hage_transfer.config import PatchSetSettings, Settings, SlideSetSettings
from hage_transfer.data.feature_layouts import TridentGrid, open_features, write_layout
from hage_transfer.encode.status import StatusBook
from hage_transfer.errors import ConfigError, DataError
from hage_transfer.running.locks import leave
from hage_transfer.slide_names import slide_name
from hage_transfer.slides.find import find_slide
from hage_transfer.slides.reader import open_slide
from hage_transfer.slides.table import read_slide_table

log = logging.getLogger(__name__)

_UM_PER_PX_AT_1X = 10.0


@dataclass(frozen=True)
class ToolLayout:
    """Another tool's form of the features, written to ``<features>/<name>/``.

    Attributes:
        name: ``clam`` or ``trident``.
        magnification: trident: that of the tiles; None: 10 / um per px, which is TRIDENT's own rule.
    """

    name: Literal["clam", "trident"]
    magnification: float | None = None

    def grid(self, data: Settings) -> TridentGrid:
        """What the features do not record of the tiles of a config.

        Raises:
            ConfigError: images instead of slides; or TRIDENT has no name for such tiles.
        """
        if not isinstance(data, SlideSetSettings):
            kind = data.layout if isinstance(data, PatchSetSettings) else "features"
            raise ConfigError(f"layout= is for slides, and data.layout is {kind}; `convert` takes its files")
        if self.name == "clam":
            return TridentGrid()
        side = data.tile_level0_px or data.tile_px
        overlap = side - (data.stride_px or side)
        if overlap < 0:
            raise ConfigError(f"layout=trident: data.stride_px {data.stride_px} leaves gaps between tiles of {side} px")
        magnification = self.magnification
        if magnification is None and data.tile_level0_px is not None:
            raise ConfigError("layout=trident: tiles of level-0 pixels (data.tile_level0_px) need magnification=")
        return TridentGrid(target_magnification=magnification or _UM_PER_PX_AT_1X / data.mpp_um_per_px, overlap=overlap)

    def write(
        self, data: SlideSetSettings, files: Iterable[Path], folder: Path, *, book: StatusBook, overwrite: bool
    ) -> None:
        """Writes the features of slides that are encoded; files that hold just this already are kept.

        Args:
            data: the slides.
            files: own feature files, ``<slide>.h5``.
            folder: the layout's folder is made in it.
            book: has the locks of all workers that may write it.
            overwrite: write in place of files that hold something else.

        Raises:
            ConfigError: something else is there already.
        """
        grid, sizes = self.grid(data), dict(_sizes(data)) if self.name == "trident" else {}
        written = 0
        for path in files:
            with book.table_lock(f"{self.name}/{path.stem}"):
                made = write_layout(
                    open_features(path),
                    self.name,
                    folder / self.name,
                    grid=grid,
                    coord_attributes=sizes.get(path.stem),
                    overwrite=overwrite,
                )
            written += bool(made)
        leave(book.locks)
        log.info("%s: %d slides written as %s", folder / self.name, written, self.name)


def _sizes(data: SlideSetSettings) -> Iterator[tuple[str, dict[str, Any]]]:
    """Level-0 size of every slide that can still be opened, by the slide's name, as TRIDENT records it."""
    for row in read_slide_table(data.labels):
        try:
            path = find_slide(data.root, row.name)
            with open_slide(path, needs_resolution=False) as slide:
                yield slide_name(row.name), {"level0_width": slide.width_px, "level0_height": slide.height_px}
        except DataError as error:
            log.debug("its size is left out: %s", error)
