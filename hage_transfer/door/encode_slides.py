"""Frozen features of whole slides, or of images as bags of tiles."""

from typing import Literal

from hage_transfer.config import Changes
from hage_transfer.door.encoders import Encoder, encoder_of
from hage_transfer.door.feature_set import FeatureSet
from hage_transfer.door.given import ConfigLike, PathLike, Table, merged
from hage_transfer.door.recipes import resolve_config
from hage_transfer.door.refused import refuse_settings
from hage_transfer.door.tables import given_table
from hage_transfer.mil.config import MilConfig
from hage_transfer.running.job import Engine
from hage_transfer.running.progress import Progress, shown


def encode_slides(
    root: PathLike | None = None,
    *,
    labels: Table | None = None,
    mpp_um_per_px: float | None = None,
    tile_px: int | None = None,
    slide_mpp_um_per_px: float | None = None,
    encoder: Encoder | None = None,
    config: ConfigLike | None = None,
    changes: Changes | None = None,
    out: PathLike | None = None,
    device: str = "auto",
    jobs: int = 1,
    engine: Engine = "processes",
    address: str | None = None,
    shard: str | None = None,
    layout: Literal["clam", "trident"] | None = None,
    magnification: float | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> FeatureSet:
    """Encodes slides tile by tile: ``features/<slide>.h5``, ``status.csv`` and, of labelled slides, ``labels.csv``.

    What is there already, of the same slides by the same encoder, is kept; several workers may share a list. Arguments
    that are left out are the config's, or its defaults.

    Args:
        root: folder of the slides.
        labels: `slide[,label][,group][,mpp]`, a csv or its rows.
        mpp_um_per_px: resolution that the encoder sees.
        tile_px: side of a tile that the encoder sees.
        slide_mpp_um_per_px: level-0 resolution of slides that record none.
        encoder: the frozen encoder, by name, keys of a config, or an object.
        config: of ``mil``, in any form.
        changes: of the config's keys.
        out: folder to write to.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``.
        jobs: workers that this call starts.
        engine: where they run.
        address: of a Ray cluster.
        shard: ``i/n``: this call's part of the slides.
        layout: another tool's form, to be written as well, in ``<out>/<layout>/``.
        magnification: trident: of the tiles; None: 10 / um per px.
        overwrite: make all anew.
        progress: called with (done, total, name) as slides end.

    Raises:
        InputError: the table, the encoder or a feature file that is there already is not right.
        ItemsFailedError: some slides failed; they are in ``failures.csv``, the rest are done.
    """
    named, own = encoder_of(encoder)
    given = {
        "data.root": root,
        "data.mpp_um_per_px": mpp_um_per_px,
        "data.tile_px": tile_px,
        "data.slide_mpp_um_per_px": slide_mpp_um_per_px,
        "features": out,
    }
    start = {"data": {"layout": "slides", "labels": "labels.csv"}} if config is None else config
    settings = resolve_config(MilConfig, start, *merged(changes, given), named)
    table = given_table(labels, settings.features, "labels")
    settings = resolve_config(MilConfig, settings, *merged(None, {"data.labels": table.path}))
    made = None if table.text is None else table.path
    refuse_settings(settings, device=device, trains=False, own=own, made=made)
    with shown("encode", progress) as tell:
        from hage_transfer.encode.bags import Workers, encode_bags  # torch: what is wrong so far was refused without it
        from hage_transfer.encode.layouts import ToolLayout

        table.write()
        encode_bags(
            settings,
            own=own,
            device=device,
            overwrite=overwrite,
            workers=Workers(shard=shard, jobs=jobs, engine=engine, address=address),
            labels_needed=False,
            layout=None if layout is None else ToolLayout(layout, magnification),
            progress=tell,
        )
    return FeatureSet(settings.features)
