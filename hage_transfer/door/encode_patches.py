"""Frozen features of labelled patches."""

from hage_transfer.config import Changes
from hage_transfer.door.encoders import Encoder, encoder_of
from hage_transfer.door.feature_set import FeatureSet
from hage_transfer.door.given import ConfigLike, PathLike, Table, merged
from hage_transfer.door.recipes import resolve_config
from hage_transfer.door.refused import refuse_settings
from hage_transfer.door.tables import given_table
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.running.progress import Progress, shown


def encode_patches(
    root: PathLike | None = None,
    *,
    layout: str | None = None,
    manifest: Table | None = None,
    tile_px: int | None = None,
    encoder: Encoder | None = None,
    config: ConfigLike | None = None,
    changes: Changes | None = None,
    out: PathLike | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> FeatureSet:
    """Encodes labelled patches: one feature file, and ``labels.csv`` (key, label, group) beside it.

    What is there already, of the same images by the same encoder, is kept. Arguments that are left out are the
    config's, or its defaults.

    Args:
        root: folder of the images.
        layout: ``manifest``, ``folder``, ``pattern`` or ``pcam``.
        manifest: `path,label[,group]`, a csv or its rows; then the layout is ``manifest``.
        tile_px: cut each image into tiles of this side.
        encoder: the frozen encoder, by name, keys of a config, or an object.
        config: of ``probe``, in any form.
        changes: of the config's keys.
        out: folder to write to.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``.
        overwrite: make it anew.
        progress: called with (done, total, name) as patches end.

    Raises:
        InputError: the patch set, the encoder or a feature file that is there already is not right.
    """
    named, own = encoder_of(encoder)
    given = {"data.root": root, "data.layout": layout, "data.tile_px": tile_px, "features": out}
    settings = resolve_config(ProbeConfig, {} if config is None else config, *merged(changes, given), named)
    table = given_table(manifest, settings.features, "manifest")
    settings = resolve_config(ProbeConfig, settings, *merged(None, {"data.manifest": table.path}))
    table.write()
    refuse_settings(settings, device=device, trains=False, own=own)
    with shown("encode", progress) as tell:
        from hage_transfer.encode import sections_and_patches  # torch: what is wrong so far was refused without it
        from hage_transfer.running.devices import resolve_device

        sections_and_patches.encode_patches(
            settings, own=own, device=resolve_device(device), overwrite=overwrite, progress=tell
        )
    return FeatureSet(settings.features)
