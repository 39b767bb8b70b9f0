"""Frozen features of ST sections."""

from collections.abc import Sequence

from hage_transfer.config import Changes
from hage_transfer.door.encoders import Encoder, encoder_of
from hage_transfer.door.feature_set import FeatureSet
from hage_transfer.door.given import ConfigLike, PathLike, merged
from hage_transfer.door.recipes import resolve_config
from hage_transfer.door.refused import refuse_settings
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.running.progress import Progress, shown


def encode_sections(
    root: PathLike | None = None,
    *,
    layout: str | None = None,
    sections: Sequence[str] | None = None,
    spot_spacing_um: float | None = None,
    mpp_um_per_px: float | None = None,
    patch_size_px: int | None = None,
    encoder: Encoder | None = None,
    config: ConfigLike | None = None,
    changes: Changes | None = None,
    out: PathLike | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> FeatureSet:
    """Encodes the patch around every spot: one feature file a section, a row a spot.

    What is there already, of the same images by the same encoder, is kept. Arguments that are left out are the
    config's, or its defaults.

    Args:
        root: folder of the data set.
        layout: of the data set, ``her2st``, ``gse144240``, ``space_ranger``, ``anndata``, ...
        sections: names; None: every one, or those of the field.
        spot_spacing_um: distance of spots, centre to centre, where the image records no resolution.
        mpp_um_per_px: resolution of the images; None: from spots or file.
        patch_size_px: side of the square that the encoder is given.
        encoder: the frozen encoder, by name, keys of a config, or an object.
        config: of ``pretrain``, in any form.
        changes: of the config's keys.
        out: folder of the feature files.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``.
        overwrite: make all anew.
        progress: called with (done, total, name) as sections end.

    Raises:
        InputError: a section, its image, the encoder or a feature file that is there already is not right.
    """
    named, own = encoder_of(encoder)
    given = {
        "data.root": root,
        "data.layout": layout,
        "data.sections": sections,
        "data.spot_spacing_um": spot_spacing_um,
        "data.mpp_um_per_px": mpp_um_per_px,
        "patch.size_px": patch_size_px,
        "features": out,
    }
    settings = resolve_config(PretrainConfig, {} if config is None else config, *merged(changes, given), named)
    refuse_settings(settings, device=device, trains=False, own=own)
    with shown("encode", progress) as tell:
        from hage_transfer.encode import sections_and_patches  # torch: what is wrong so far was refused without it
        from hage_transfer.running.devices import resolve_device

        sections_and_patches.encode_sections(
            settings, own=own, device=resolve_device(device), overwrite=overwrite, progress=tell
        )
    return FeatureSet(settings.features)
