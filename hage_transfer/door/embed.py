"""Embeddings of frozen features."""

from pathlib import Path

from hage_transfer.door.feature_set import FeatureSet
from hage_transfer.door.given import PathLike
from hage_transfer.door.refused import refuse_absent, refuse_device
from hage_transfer.models.checkpoint import encoder_sha256
from hage_transfer.running.progress import Progress, shown


def embed(
    features: PathLike,
    *,
    encoder: PathLike,
    out: PathLike,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> FeatureSet:
    """Embeds frozen features by a gene-informed encoder; embeddings that it made of them before are kept.

    Args:
        features: a feature file, or a folder of them.
        encoder: directory that pretraining made.
        out: embedding file, or the folder for them.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``.
        overwrite: make all anew.
        progress: called with (done, total, name) as files end.

    Raises:
        DataError: no features, those of another frozen encoder or width, or no encoder directory.
        ItemsFailedError: some files of a folder failed; they are in its ``failures.csv``, the rest are done.
    """
    refuse_device(device)
    refuse_absent("features", features)
    refuse_absent("an encoder directory; `pretrain` makes one", encoder)
    encoder_sha256(Path(encoder))
    with shown("embed", progress) as tell:
        from hage_transfer.encode.embed import embed_path  # torch: what is wrong so far was refused without it
        from hage_transfer.running.devices import resolve_device

        embed_path(
            Path(features),
            encoder=Path(encoder),
            out=Path(out),
            device=resolve_device(device),
            overwrite=overwrite,
            progress=tell,
        )
    return FeatureSet(Path(out))
